"""The battery that shows a streaming client signs of life while it waits for its answer.

Without it, a client sees nothing before its answer, and no heartbeat in the pauses of it.
"""

from llmproxy.batteries.signs_of_life.heartbeat import SignsOfLife

__all__ = ["SignsOfLife"]
