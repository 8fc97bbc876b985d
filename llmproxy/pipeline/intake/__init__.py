"""From a request to a call: what routing must know, and bodies that arrive in pieces."""

from llmproxy.pipeline.intake.reading import Intake, not_found

__all__ = ["Intake", "not_found"]
