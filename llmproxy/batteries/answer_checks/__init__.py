"""Whether a whole answer with a success status holds what was asked for.

The only module of this package that others import. Without it, the core takes every such answer as
it came.
"""

from llmproxy.batteries.answer_checks.reading import read_answer

__all__ = ["read_answer"]
