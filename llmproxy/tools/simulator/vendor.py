"""A simulated vendor: its listener, its answers, and its state for tests."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from ssl import SSLContext

import msgspec

from llmproxy.tools.simulator.connection import VendorConnection
from llmproxy.tools.simulator.errors import VendorError, error_reply
from llmproxy.tools.simulator.exchange import ApiCall, Received, Reply, json_reply
from llmproxy.tools.simulator.faults import (
    EVENT_KINDS,
    SILENT_KINDS,
    Fault,
    parse_fault,
    raw,
    status_reply,
    tampered,
)
from llmproxy.tools.simulator.flavours import ParsedPath, parse_call, parse_target, vendor_headers
from llmproxy.tools.simulator.operations import answer_call
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.state import VendorState

BACKLOG = 4096
CONTROL = b"/_simulator/"

# It returns bytes and pauses in seconds to send as they are, or None for the usual answer.
Script = Callable[[Received], "Iterable[bytes | float] | None"]

_FAULTS = msgspec.json.Decoder(list[Fault | str])


class VendorCounts(msgspec.Struct):
    """Counters. `requests`: operation -> status -> how many (status 0: none was sent)."""

    requests: dict[str, dict[int, int]] = msgspec.field(default_factory=dict)
    aborted: int = 0
    streams_open: int = 0
    connections_open: int = 0
    connections_total: int = 0

    def total(self, status: int | None = None) -> int:
        """Return the number of answered requests, or of those with a status."""
        return sum(
            number
            for statuses in self.requests.values()
            for answered, number in statuses.items()
            if status is None or answered == status
        )


class SimulatedVendor:
    """Owns the listener, the connections and all state of one vendor.

    `faults`, `settings` and `received` may be changed while it runs; `received` holds every
    request if `settings.record`.
    """

    def __init__(self, settings: VendorSettings, *, ssl: SSLContext | None = None) -> None:
        self.settings = settings
        self.faults: list[Fault] = []
        self.received: list[Received] = []
        self.counts = VendorCounts()
        self.port = settings.port
        self.state = VendorState(settings, clock=time.monotonic, wall_clock=time.time)
        self._ssl = ssl
        self._script: Script | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[VendorConnection] = set()
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    @property
    def root(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._ssl else 'http'}://{self.settings.host}:{self.port}"

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"{self.root}/v1"

    @property
    def azure_endpoint(self) -> str:
        """The endpoint for an AzureOpenAI client."""
        return self.root

    @property
    def azure_v1_url(self) -> str:
        """The base URL for an OpenAI client of Azure's v1 API."""
        return f"{self.root}/openai/v1/"

    # --- the listener ----------------------------------------------------------------------

    async def resume(self) -> None:
        """Listen; after a pause on the same port."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: VendorConnection(self),
            self.settings.host,
            self.port,
            ssl=self._ssl,
            backlog=BACKLOG,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def pause(self, *, drop: bool = False) -> None:
        """Refuse new connections. `drop`: reset the open ones, as a crash does."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        if drop:
            for connection in tuple(self._connections):
                connection.end(reset=True)
        await asyncio.sleep(0)  # uvloop closes the socket in its next inputs

    async def close(self) -> None:
        """Stop the listener and reset the connections."""
        await self.pause(drop=True)
        await self._all_gone.wait()

    def drop_idle(self) -> None:
        """Close (FIN) every connection that is not answering, as an idle timeout does."""
        for connection in tuple(self._connections):
            if connection.idle:
                connection.end(reset=False)

    def script(self, script: Script | None) -> None:
        """Let a function answer with its own bytes; None removes it."""
        self._script = script

    # --- connection.VendorHooks

    def connected(self, connection: VendorConnection) -> int:
        """Add a connection and return its number."""
        self._connections.add(connection)
        self._all_gone.clear()
        self.counts.connections_open += 1
        self.counts.connections_total += 1
        return self.counts.connections_total

    def disconnected(self, connection: VendorConnection) -> None:
        """Remove a closed connection."""
        self._connections.discard(connection)
        self.counts.connections_open -= 1
        if not self._connections:
            self._all_gone.set()

    def arrived(self, received: Received) -> None:
        """Record a request, if requests are recorded."""
        if not self.settings.record or received.target.startswith(CONTROL):
            return
        self.received.append(received)
        if len(self.received) > self.settings.max_recorded:
            del self.received[0]

    def left(self, received: Received) -> None:
        """Count a request whose peer left before the end of the answer."""
        if not received.target.startswith(CONTROL):
            self.counts.aborted += 1

    def answering(self, received: Received, reply: Reply, *, begun: bool) -> None:
        """Count an answer at its begin and at its end."""
        if received.target.startswith(CONTROL):
            return
        if reply.events is not None:
            self.counts.streams_open += 1 if begun else -1
        if begun:
            received.status = reply.status
        else:
            operation = parse_target(received.target).operation or "unknown"
            statuses = self.counts.requests.setdefault(operation, {})
            statuses[received.status] = statuses.get(received.status, 0) + 1

    def answer(self, received: Received) -> tuple[Reply, Fault | None]:
        """Return the answer to a complete request, and the fault to apply to it."""
        if received.target.startswith(CONTROL):
            return self._control(received), None
        if self._script is not None and (pieces := self._script(received)) is not None:
            return Reply(0), raw(*pieces)
        parsed = parse_target(received.target)
        try:
            fault = self._fault(received)
            reply = self._reply(received, parsed, fault)
        except VendorError as error:
            return self._with_headers(error_reply(error, parsed.flavour), parsed, None), None
        if fault is not None and fault.kind.startswith(("status", "refusal")):
            fault = None  # the answer is the fault
        return reply, fault

    # --- answers ---------------------------------------------------------------------------

    def _fault(self, received: Received) -> Fault | None:
        spec = received.header(b"x-simulator-fault")
        if spec is not None:
            try:
                fault = parse_fault(spec.decode("latin-1"))
            except ValueError as error:
                raise VendorError(400, f"x-simulator-fault: {error}") from error
            named = fault.vendor in (None, self.settings.name)
            if named and fault.strikes(received, self.state.random):
                return fault
        for fault in self.faults:
            if fault.strikes(received, self.state.random):
                return fault
        return None

    def _reply(self, received: Received, parsed: ParsedPath, fault: Fault | None) -> Reply:
        if fault is not None and fault.kind in SILENT_KINDS:
            return Reply(0)
        if fault is not None and fault.kind.startswith("status"):
            reply = self._with_headers(status_reply(fault, parsed.flavour), parsed, None)
            reply.headers.extend(_extra_headers(fault))
            return reply
        call = None
        try:
            call = parse_call(received, parsed, self.settings)
            call.refuse = fault is not None and fault.kind == "refusal"
            reply = answer_call(call, self.state)
        except VendorError as error:
            reply = error_reply(error, parsed.flavour)
        if fault is not None and fault.kind in EVENT_KINDS and reply.events is not None:
            reply.events = tampered(reply.events, fault, parsed.flavour)
        self._set_pace(reply)
        self._with_headers(reply, parsed, call)
        if fault is not None:
            reply.headers.extend(_extra_headers(fault))
        accepted = received.header(b"accept-encoding") or b""
        if self.settings.compress and b"gzip" in accepted:
            _compress(reply)
        return reply

    def _with_headers(self, reply: Reply, parsed: ParsedPath, call: ApiCall | None) -> Reply:
        """Add the vendor's own headers to a reply."""
        request_id = self.state.new_id("", 32)
        ms = round(reply.first_s * 1000)
        reply.headers.extend(
            vendor_headers(parsed.flavour, request_id, self.settings.region, ms=ms)
        )
        if call is not None:
            reply.headers.extend(call.limits)
            if call.azure and (client_id := call.headers.get("x-ms-client-request-id")):
                reply.headers.append((b"x-ms-client-request-id", client_id.encode("latin-1")))
        return reply

    def _set_pace(self, reply: Reply) -> None:
        settings = self.settings
        if reply.status != 200 or not (settings.latency_s or settings.tokens_per_s):
            return
        step_s = self.state.pause(1 / settings.tokens_per_s) if settings.tokens_per_s else 0.0
        reply.first_s = self.state.pause(settings.latency_s)
        reply.piece_s = step_s
        if reply.events is None:
            reply.first_s += step_s * reply.output_tokens

    # --- control by other processes --------------------------------------------------------

    def _control(self, received: Received) -> Reply:
        path = received.target.partition(b"?")[0].removeprefix(CONTROL)
        match (received.method, path):
            case ("GET", b"state"):
                return json_reply(self._state())
            case ("PUT", b"faults"):
                try:
                    given = _FAULTS.decode(received.body)
                    self.faults[:] = [
                        parse_fault(fault) if isinstance(fault, str) else fault for fault in given
                    ]
                except (msgspec.DecodeError, ValueError) as error:
                    text = f"Expected a JSON list of faults or of their specs: {error}"
                    return json_reply({"error": {"message": text}}, status=400)
                return json_reply([fault.described() for fault in self.faults])
            case ("DELETE", b"faults"):
                self.faults.clear()
                return json_reply([fault.described() for fault in self.faults])
        known = "GET state, PUT faults, DELETE faults"
        return json_reply({"error": {"message": f"Unknown. These exist: {known}."}}, status=404)

    def _state(self) -> dict[str, object]:
        return {
            "name": self.settings.name,
            **msgspec.to_builtins(self.counts),
            "faults": [fault.described() for fault in self.faults],
        }


@asynccontextmanager
async def serve(
    settings: VendorSettings | None = None, *, ssl: SSLContext | None = None
) -> AsyncIterator[SimulatedVendor]:
    """Run a vendor in this event loop. `ssl`: a server context, for https."""
    vendor = SimulatedVendor(settings or VendorSettings(), ssl=ssl)
    await vendor.resume()
    try:
        yield vendor
    finally:
        await vendor.close()


def _extra_headers(fault: Fault) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in fault.headers.items()
    ]


def _compress(reply: Reply) -> None:
    """Compress a reply by gzip, a stream event by event."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    reply.headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
    if reply.events is None:
        reply.body = packer.compress(reply.body) + packer.flush()
        return

    def packed(events: Iterable[bytes]) -> Iterator[bytes]:
        for event in events:
            yield packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield packer.flush()

    reply.events = packed(reply.events)
