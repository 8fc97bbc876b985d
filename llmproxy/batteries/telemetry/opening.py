"""Opens the recorders that a config asks for: access log, counters, traces."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

from llmproxy.batteries.settings import FullSettings, full
from llmproxy.batteries.telemetry.access_log import AccessLog
from llmproxy.batteries.telemetry.recorder import MetricsRecorder
from llmproxy.batteries.telemetry.tracing import traced
from llmproxy.calls import Headers, TraceContext
from llmproxy.config import Config
from llmproxy.events import Listener, Listeners
from llmproxy.protocols import Prices


class Recorders:
    """What is open (a `Telemetry`). `recorder`: counters and latest calls of this process."""

    def __init__(
        self,
        recorder: MetricsRecorder,
        *,
        others: list[Listener],
        trace_of: Callable[[Headers], TraceContext | None] | None,
    ) -> None:
        self.recorder = recorder
        self.trace_of = trace_of
        self.listener: Listener = Listeners(*others, recorder)

    def install(self, prices: Prices) -> None:
        """Count costs in these prices from now on; what was reported before keeps its own."""
        self.recorder.record_pending()
        self.recorder.prices = prices


class Exporters:
    """Opens recorders (a `TelemetryOpener`).

    `write` gets whole lines of the access log; None = no log is written. `environ`: where
    OpenTelemetry's variables are.
    """

    def __init__(
        self,
        write: Callable[[bytes], object] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._write = write
        self._environ = environ

    @contextmanager
    def open(self, config: Config) -> Iterator[Recorders]:
        """Open the configured recorders; flush them at the end."""
        settings = full(config.general_settings)
        others: list[Listener] = []
        recorder = MetricsRecorder()
        with ExitStack() as stack:
            if self._write is not None:
                access_log = stack.enter_context(closing(_access_log(settings, self._write)))
                others.append(access_log)
                recorder.losses["access_log"] = lambda: access_log.dropped
            tracer = stack.enter_context(traced(config, self._environ))
            if tracer is not None:
                others.append(tracer)
                recorder.losses["traces"] = lambda: tracer.lost
            trace_of = tracer.trace_of if tracer else None
            yield Recorders(recorder, others=others, trace_of=trace_of)


def _access_log(settings: FullSettings, write: Callable[[bytes], object]) -> AccessLog:
    human = settings.log_format == "text" or (settings.log_format == "auto" and sys.stdout.isatty())
    return AccessLog(write, human=human, calls=settings.access_log, steps=settings.log_steps)
