"""The tracer: collects finished calls, and sends their spans from a thread.

A slow or missing collector delays no call. The number of waiting calls is bounded; further ones are
not traced, and counted.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from threading import Event, Thread
from time import monotonic

import llmproxy
from llmproxy.batteries.settings import Tracing
from llmproxy.batteries.telemetry.tracing.collector import Collector
from llmproxy.batteries.telemetry.tracing.environment import resource_of, target_of
from llmproxy.batteries.telemetry.tracing.names import endpoint_labels
from llmproxy.batteries.telemetry.tracing.otlp import RequestWriter
from llmproxy.batteries.telemetry.tracing.sender import SpanSender
from llmproxy.batteries.telemetry.tracing.spans import Labels, spans_of
from llmproxy.batteries.telemetry.tracing.trace_context import SAMPLED, trace_of
from llmproxy.calls import Headers, TraceContext
from llmproxy.config import Config
from llmproxy.events import CallFinished, Listener

EVERY_S = 1.0
MAX_PENDING_CALLS = 10_000
# Calls whose spans are written at a stretch, and the pause after them: the event loop waits for the
# interpreter's lock meanwhile, some 0.3 ms.
CALLS_AT_ONCE = 16
PAUSE_S = 0.001
# A request is sent when it has so many spans, or when its first one has waited so long.
REQUEST_SPANS = 512
REQUEST_AGE_S = 5.0
CLOSING_S = 5.0  # the longest wait for the collector when the process ends

logger = logging.getLogger("llmproxy")


def open_tracer(
    config: Config,
    settings: Tracing,
    environ: Mapping[str, str],
    *,
    draw_bits: Callable[[int], int],
) -> Tracer:
    """Return a tracer that sends to the collector of a config, to be closed."""
    target = target_of(settings, environ)
    resource = resource_of(settings, environ, instance=draw_bits(128))
    return Tracer(
        SpanSender(Collector(target), str(target)),
        RequestWriter(resource, ("llmproxy", llmproxy.__version__)),
        endpoint_labels(config),
        ratio=settings.sample_ratio,
        draw_bits=draw_bits,
    )


class Tracer(Listener):
    """Owns the calls and spans that are not sent yet, and the thread that sends them.

    `ratio`: the share of calls that are traced; `draw_bits` returns that many random bits.
    `close()` sends the rest.
    """

    def __init__(
        self,
        sender: SpanSender,
        writer: RequestWriter,
        labels: Labels,
        *,
        ratio: float,
        draw_bits: Callable[[int], int],
    ) -> None:
        self._ratio = ratio
        self._draw_bits = draw_bits
        self._pending: deque[tuple[CallFinished, TraceContext]] = deque()
        self._refused = 0
        self._labels = labels
        self._batch = _SpanBatch(writer)
        self._sender = sender
        self._closing = Event()
        self._abandoned = False
        self._thread = Thread(target=self._run, name="llmproxy-tracing", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """The calls whose spans found no room, or were not accepted."""
        return self._refused + self._sender.lost

    def trace_of(self, headers: Headers) -> TraceContext | None:
        """Return a call's trace context from its headers; None if it is not to be traced."""
        return trace_of(headers, ratio=self._ratio, draw_bits=self._draw_bits)

    def close(self) -> None:
        """Send what is left, for `CLOSING_S` at most. Blocks."""
        self._closing.set()
        self._thread.join(CLOSING_S)
        self._abandoned = True

    # ---- Listener

    def call_finished(self, event: CallFinished) -> None:
        """Send the call's spans within some seconds."""
        trace = event.record.request.trace
        if trace is None or not trace.flags & SAMPLED:
            return
        if len(self._pending) < MAX_PENDING_CALLS:
            self._pending.append((event, trace))
            return
        if not self._refused:
            logger.warning(
                "%d calls wait for their traces to be sent; further calls are not traced. "
                "Lower general_settings.tracing.sample_ratio. This is logged once.",
                MAX_PENDING_CALLS,
            )
        self._refused += 1

    # ---- in the thread

    def _run(self) -> None:
        while not self._closing.wait(EVERY_S):
            self._write_pending()
            if self._batch.is_old:
                self._send()
        self._write_pending()
        self._send()
        self._sender.close()

    def _write_pending(self) -> None:
        while self._pending and not self._abandoned:
            for _ in range(min(CALLS_AT_ONCE, len(self._pending))):
                call, trace = self._pending.popleft()
                self._batch.add(spans_of(call, trace, self._labels))
            if self._batch.is_full:
                self._send()
            self._closing.wait(PAUSE_S)  # none when closing: there is no event loop any more

    def _send(self) -> None:
        if self._batch.calls and not self._abandoned:
            calls = self._batch.calls
            self._sender.send(self._batch.take(), calls=calls, stopping=self._closing)


class _SpanBatch:
    """The request that is being filled. `calls`: how many are in it."""

    def __init__(self, writer: RequestWriter) -> None:
        self.calls = 0
        self._writer = writer
        self._spans: list[bytes] = []
        self._began_at = 0.0

    @property
    def is_full(self) -> bool:
        """Whether it is to be sent at once."""
        return len(self._spans) >= REQUEST_SPANS

    @property
    def is_old(self) -> bool:
        """Whether it has waited long enough."""
        return monotonic() - self._began_at >= REQUEST_AGE_S

    def add(self, spans: list[bytes]) -> None:
        """Add the spans of one call."""
        if not self._spans:
            self._began_at = monotonic()
        self._spans += spans
        self.calls += 1

    def take(self) -> bytes:
        """Return it as bytes, and begin another one."""
        body = self._writer.request(self._spans)
        self._spans, self.calls = [], 0
        return body
