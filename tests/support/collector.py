"""A fake OpenTelemetry collector: it receives OTLP over HTTP in a thread and keeps the spans."""

import threading
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags, Status


@dataclass
class Span:
    """One span as received. `below` are its children, by start time."""

    name: str
    kind: str
    trace_id: str
    id: str
    parent_id: str
    state: str
    began_at: float
    ended_at: float
    status: str
    attributes: dict
    events: list
    event_times: list
    parent_is_remote: bool
    below: list = field(default_factory=list)

    def __getitem__(self, attribute):
        return self.attributes.get(attribute)


@dataclass
class Collector:
    """A running collector. It answers with `status`, once `silence` (if given) is set.

    `answers`: statuses and headers of the next answers. `closes`: it closes each connection after
    its answer, and does not say so. `sizes`: of the requests that were accepted, in spans.
    """

    port: int
    scheme: str = "http"
    status: int = 200
    silence: threading.Event | None = None
    answers: list = field(default_factory=list)
    closes: bool = False
    connections: int = 0
    requests: list = field(default_factory=list)
    bodies: list = field(default_factory=list)
    spans: list = field(default_factory=list)
    sizes: list = field(default_factory=list)
    resource: dict = field(default_factory=dict)

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def tracing(self, **more):
        """Return the `tracing` section of a config."""
        return {"endpoint": self.endpoint, **more}

    def trees(self):
        """Return the spans of calls, each with its attempts below it, by start time."""
        by_id = {span.id: span for span in self.spans}
        assert len(by_id) == len(self.spans), "an id was given twice"
        roots = []
        for span in sorted(self.spans, key=lambda span: span.began_at):
            above = by_id.get(span.parent_id)
            (roots if above is None else above.below).append(span)
        return roots

    def take(self, path, headers, body):
        """Keep a request, and return the status and the headers of the answer."""
        self.bodies.append(body)
        if headers.get("content-encoding") in ("gzip", "deflate"):
            body = zlib.decompress(body, 47)
        self.requests.append((path, {name.lower(): value for name, value in headers.items()}))
        status, more = self.answers.pop(0) if self.answers else (self.status, {})
        if status == 200:
            spans = self._spans_in(ExportTraceServiceRequest.FromString(body))
            self.sizes.append(len(spans))
            self.spans += spans
        return status, more

    def _spans_in(self, sent):
        spans = []
        for resource_spans in sent.resource_spans:
            self.resource = _attributes(resource_spans.resource.attributes)
            for scope in resource_spans.scope_spans:
                spans += [_span(span) for span in scope.spans]
        return spans


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a client may keep its connection

    def handle_error(self, *_):
        """Print nothing: clients may leave."""


@contextmanager
def collector(*, port=0, tls=None):
    """Run a collector until the block ends. Port 0: any free port. `tls`: a server's context."""
    here = Collector(port, "http" if tls is None else "https")

    class Taker(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            here.connections += 1
            super().setup()

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers = here.take(self.path, self.headers, body)
            if here.silence is not None:
                here.silence.wait(20)
            self.send_response(status)
            for header in headers.items():
                self.send_header(*header)
            self.send_header("content-length", "0")
            self.end_headers()
            self.close_connection = here.closes

        def log_message(self, *_):
            pass

    server = _Server(("127.0.0.1", port), Taker)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    here.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield here
    finally:
        if here.silence is not None:
            here.silence.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _span(sent):
    return Span(
        sent.name,
        Sent.SpanKind.Name(sent.kind).removeprefix("SPAN_KIND_"),
        sent.trace_id.hex(),
        sent.span_id.hex(),
        sent.parent_span_id.hex(),
        sent.trace_state,
        sent.start_time_unix_nano / 1e9,
        sent.end_time_unix_nano / 1e9,
        Status.StatusCode.Name(sent.status.code).removeprefix("STATUS_CODE_"),
        _attributes(sent.attributes),
        [(event.name, _attributes(event.attributes)) for event in sent.events],
        [event.time_unix_nano / 1e9 for event in sent.events],
        bool(sent.flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK),
    )


def _attributes(sent):
    return {
        attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value"))
        for attribute in sent
    }
