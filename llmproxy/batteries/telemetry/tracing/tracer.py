"""The tracer: collects finished calls and sends their spans from a thread.

A slow or missing collector delays no call. The number of waiting calls is bounded; further ones are
not traced. A failing export is logged once, and once more when it works again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Protocol
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

import llmproxy
from llmproxy.batteries.settings import Tracing
from llmproxy.batteries.telemetry.tracing.names import endpoint_labels
from llmproxy.batteries.telemetry.tracing.spans import SpanBuilder
from llmproxy.batteries.telemetry.tracing.trace_context import SAMPLED, trace_of
from llmproxy.calls import Headers, TraceContext
from llmproxy.config import Config
from llmproxy.events import CallFinished, Listener

EVERY_S = 1.0
MAX_PENDING_CALLS = 10_000
# Calls in one request to the collector. The interpreter's lock is held while their spans are made
# and encoded (1.3 ms for 16), so more at once would delay the event loop.
BATCH_CALLS = 16
EXPORT_TIMEOUT_S = 5.0
# The longest wait for the collector when the process ends, and for the thread after that.
CLOSING_S = 5.0
STOPPING_S = 0.5

logger = logging.getLogger("llmproxy")


class Exporter(Protocol):
    """The part of OpenTelemetry's exporter that is used here. Its methods block."""

    def export(self, spans: Sequence[ReadableSpan], /) -> SpanExportResult:
        """Send spans within a bounded time; failures are logged."""

    def shutdown(self) -> None:
        """Abort a request under way."""


class Tracer(Listener):
    """Owns the calls whose spans are not sent yet, and the thread that sends them.

    `draw_bits` returns that many random bits. `close()` sends the rest.
    """

    def __init__(
        self,
        config: Config,
        settings: Tracing,
        exporter: Exporter,
        *,
        draw_bits: Callable[[int], int],
    ) -> None:
        self._ratio = settings.sample_ratio
        self._draw_bits = draw_bits
        self._pending: deque[tuple[CallFinished, TraceContext]] = deque()
        self._spans = _span_builder(config, settings)
        self._exporter = exporter
        self._status = ExportStatus(settings.endpoint)
        self._full = False
        self._closing = Event()
        self._abandoned = False
        self._thread = Thread(target=self._run, name="llmproxy-tracing", daemon=True)
        self._thread.start()

    def trace_of(self, headers: Headers) -> TraceContext | None:
        """Return a call's trace context from its headers; None if it is not to be traced."""
        return trace_of(headers, ratio=self._ratio, draw_bits=self._draw_bits)

    def close(self) -> None:
        """Send what is left, for `CLOSING_S` at most. Blocks."""
        self._closing.set()
        self._thread.join(CLOSING_S)
        self._abandoned = True
        self._exporter.shutdown()  # wakes the thread if it pauses before another try
        self._thread.join(STOPPING_S)
        if not self._thread.is_alive():
            self._status.close()

    # ---- Listener

    def call_finished(self, event: CallFinished) -> None:
        """Send the call's spans within some seconds."""
        trace = event.record.request.trace
        if trace is None or not trace.flags & SAMPLED:
            return
        if len(self._pending) >= MAX_PENDING_CALLS:
            if not self._full:
                self._full = True
                logger.warning(
                    "%d calls wait for their traces to be sent; further calls are not traced. "
                    "Lower general_settings.tracing.sample_ratio. This is logged once.",
                    MAX_PENDING_CALLS,
                )
            return
        self._pending.append((event, trace))

    # ---- in the thread

    def _run(self) -> None:
        while not self._closing.wait(EVERY_S):
            self._send_pending()
        self._send_pending()

    def _send_pending(self) -> None:
        while self._pending and not self._abandoned:
            calls = [self._pending.popleft() for _ in range(min(BATCH_CALLS, len(self._pending)))]
            spans = [span for call, trace in calls for span in self._spans.of(call, trace)]
            if self._exporter.export(spans) is SpanExportResult.SUCCESS:
                self._status.succeeded()
            else:
                self._status.failed(lost=len(calls))


class ExportStatus(logging.Handler):
    """Logs once that exports fail, and once that they work again.

    Replaces the SDK's own log lines: it handles the SDK's logger until `close()`.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__(logging.WARNING)
        parts = urlsplit(endpoint)
        self._collector = f"{parts.scheme}://{parts.netloc}"
        self._reason = ""
        self._lost = 0  # calls whose spans were not accepted since the last success
        self._sdk_logger = logging.getLogger("opentelemetry")
        self._sdk_logger.addHandler(self)
        self._sdk_logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the exporter's first reason; later ones only say that attempts ran out.

        Other loggers of the SDK report what a client has sent, which must not be logged.
        """
        if record.name.startswith("opentelemetry.exporter"):
            self._reason = self._reason or record.getMessage()[:300]

    def failed(self, *, lost: int) -> None:
        """The spans of some calls could not be sent."""
        if not self._lost:
            logger.warning(
                "Traces do not reach %s: %s Calls are not affected. This is logged once.",
                self._collector,
                self._reason,
            )
        self._lost += lost
        self._reason = ""

    def succeeded(self) -> None:
        """Spans are accepted."""
        self._reason = ""
        if self._lost:
            logger.warning(
                "Traces reach %s again. The traces of %d calls are lost.",
                self._collector,
                self._lost,
            )
        self._lost = 0

    def close(self) -> None:
        """Let the SDK log by itself again."""
        self._sdk_logger.removeHandler(self)
        self._sdk_logger.propagate = True
        super().close()


def exporter_of(settings: Tracing) -> Exporter:
    """Return an exporter for OTLP over HTTP."""
    endpoint = settings.endpoint
    if urlsplit(endpoint).path in ("", "/"):
        endpoint = endpoint.rstrip("/") + "/v1/traces"
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    return OTLPSpanExporter(endpoint, headers=headers, timeout=EXPORT_TIMEOUT_S)


def _span_builder(config: Config, settings: Tracing) -> SpanBuilder:
    named = {"service.name": settings.service_name, "service.version": llmproxy.__version__}
    scope = InstrumentationScope("llmproxy", llmproxy.__version__)
    return SpanBuilder(endpoint_labels(config), Resource.create(named), scope)
