"""LLMProxy without counters, started like `llmproxy`: the difference is the cost of counting."""

from __future__ import annotations

import sys

from llmproxy.batteries.telemetry.recorder import MetricsRecorder
from llmproxy.cli import main
from llmproxy.events import Listener

if __name__ == "__main__":
    # The base class's hooks do nothing.
    MetricsRecorder.call_finished = Listener.call_finished  # type: ignore[method-assign]
    MetricsRecorder.attempt_ended = Listener.attempt_ended  # type: ignore[method-assign]
    sys.exit(main())
