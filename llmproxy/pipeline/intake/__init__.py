"""From a request to a call: what routing needs, and bodies that arrive in chunks."""

from llmproxy.pipeline.intake.reading import Intake, not_found

__all__ = ["Intake", "not_found"]
