"""LLMProxy that counts nothing, started like `llmproxy`: what counting costs is the difference."""

from __future__ import annotations

import sys

from llmproxy import serving
from llmproxy.cli import main
from llmproxy.events import AttemptEnded, CallFinished
from llmproxy.telemetry.recorder import MetricsRecorder


class Deaf(MetricsRecorder):
    """Hears of calls and attempts, and does nothing."""

    def call_finished(self, event: CallFinished) -> None:
        """Nothing."""

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Nothing."""


if __name__ == "__main__":
    serving.MetricsRecorder = Deaf  # type: ignore[misc]
    sys.exit(main())
