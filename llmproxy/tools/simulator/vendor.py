"""A simulated vendor: its listener, its answers, and its control by other processes."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from llmproxy.rules.authority import authority
from llmproxy.tools.simulator.connection import Connections, VendorConnection, VendorCounts
from llmproxy.tools.simulator.errors import VendorError, error_reply
from llmproxy.tools.simulator.exchange import ApiCall, Received, Reply, json_reply
from llmproxy.tools.simulator.faults import (
    EVENT_KINDS,
    SILENT_KINDS,
    Fault,
    parse_fault,
    status_reply,
    tampered,
)
from llmproxy.tools.simulator.flavours import ParsedPath, parse_call, parse_target, vendor_headers
from llmproxy.tools.simulator.operations import OPERATIONS, Handler, answer_call
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.state import VendorState

BACKLOG = 4096
CONTROL = b"/_simulator/"

_FAULTS = msgspec.json.Decoder(list[Fault | str])


class SimulatedVendor:
    """Owns all state of one vendor. `faults` and `settings` may be changed while it runs."""

    def __init__(
        self, settings: VendorSettings, operations: Mapping[str, Handler] = OPERATIONS
    ) -> None:
        self.settings = settings
        self.faults: list[Fault] = []
        self.connections = Connections()
        self.port = settings.port
        self.state = VendorState(settings, clock=time.monotonic, wall_clock=time.time)
        self._operations = operations

    @property
    def counts(self) -> VendorCounts:
        """The counters, as they are now."""
        return self.connections.counts

    @property
    def root(self) -> str:
        """Scheme, host and port: the endpoint for an AzureOpenAI client."""
        return f"http://{authority(self.settings.host, self.port)}"

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"{self.root}/v1"

    @property
    def azure_v1_url(self) -> str:
        """The base URL for an OpenAI client of Azure's v1 API."""
        return f"{self.root}/openai/v1/"

    def answer(self, received: Received) -> tuple[Reply, Fault | None]:
        """Return the answer to a complete request, and the fault to apply to it; count it."""
        if received.target.startswith(CONTROL):
            return self._control(received), None
        parsed = parse_target(received.target)
        try:
            fault = self._fault(received)
            reply = self._reply(received, parsed, fault)
        except VendorError as error:
            fault = None
            reply = self._with_headers(error_reply(error, parsed.flavour), parsed, None)
        statuses = self.counts.requests.setdefault(parsed.operation or "unknown", {})
        statuses[reply.status] = statuses.get(reply.status, 0) + 1
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
            return self._with_headers(status_reply(fault, parsed.flavour), parsed, None)
        call = None
        try:
            call = parse_call(received, parsed, self.settings)
            call.refuse = fault is not None and fault.kind == "refusal"
            reply = answer_call(call, self.state, self._operations)
        except VendorError as error:
            reply = error_reply(error, parsed.flavour)
        if fault is not None and fault.kind in EVENT_KINDS and reply.events is not None:
            reply.events = tampered(reply.events, fault, parsed.flavour)
        self._set_pace(reply)
        self._with_headers(reply, parsed, call)
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
    settings: VendorSettings | None = None, operations: Mapping[str, Handler] = OPERATIONS
) -> AsyncIterator[SimulatedVendor]:
    """Run a vendor in this event loop."""
    vendor = SimulatedVendor(settings or VendorSettings(), operations)
    server = await asyncio.get_running_loop().create_server(
        lambda: VendorConnection(vendor.connections, vendor.answer),
        vendor.settings.host,
        vendor.port,
        backlog=BACKLOG,
    )
    vendor.port = server.sockets[0].getsockname()[1]
    try:
        yield vendor
    finally:
        server.close()
        await vendor.connections.reset()


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
