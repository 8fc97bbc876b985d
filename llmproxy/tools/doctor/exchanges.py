"""One small call to an endpoint, as the proxy would send it, and what came back with its times."""

from __future__ import annotations

import json
from time import monotonic
from typing import Any

import msgspec

import llmproxy
from llmproxy.calls import Headers, Outgoing
from llmproxy.errors import GatewayError
from llmproxy.operations.table import route_to
from llmproxy.providers.base import Endpoint
from llmproxy.rules.encoding import readable
from llmproxy.tools.doctor.recorder import ID_HEADER
from llmproxy.upstream import UpstreamClient

MAX_OUTPUT_TOKENS = 32
CALL_TOKENS = 60  # of one call, input and output, roughly
MAX_BYTES = 1024 * 1024
SHOWN_CHARS = 120
PROMPT = "Count from 1 to 12, one number after the other, with spaces between."
USER_AGENT = f"llmproxy/{llmproxy.__version__} doctor".encode("ascii")
# OpenAI's newer models refuse max_tokens.
_COMPLETION_TOKENS = frozenset(("openai", "azure", "azure_classic", "github"))


class Exchange(msgspec.Struct):
    """What an endpoint answered. `chunks`: the moments (seconds from the request) and the bytes as
    they came. `outgoing`: what was sent. `failure`: why it ended early, or never began."""

    status: int = 0
    headers: Headers = []
    chunks: list[tuple[float, bytes]] = []
    failure: GatewayError | None = None
    took_s: float = 0.0
    outgoing: Outgoing | None = None

    @property
    def first_byte_s(self) -> float | None:
        """Seconds from the request to the first byte of the body."""
        return self.chunks[0][0] if self.chunks else None

    @property
    def body(self) -> bytes:
        """The body as it came over the wire, without the framing of chunks."""
        return b"".join(chunk for _, chunk in self.chunks)

    @property
    def encoding(self) -> bytes:
        """Its content encoding."""
        return b",".join(value for name, value in self.headers if name == b"content-encoding")

    @property
    def text(self) -> bytes | None:
        """The decoded body; None if it cannot be decoded."""
        if not self.encoding:
            return self.body
        return readable(self.body, self.encoding, max_bytes=MAX_BYTES)

    def parsed(self) -> Any:
        """Return the JSON of the body. Raises ValueError if it is none, or is nested too deep."""
        try:
            return json.loads(self.text or b"")
        except RecursionError:
            raise ValueError("nested too deep") from None

    @property
    def is_cut(self) -> bool:
        """Whether the body was too large to be read to its end."""
        return sum(len(chunk) for _, chunk in self.chunks) >= MAX_BYTES

    @property
    def is_answered(self) -> bool:
        """Whether the call succeeded, by its status."""
        return self.failure is None and 200 <= self.status < 300

    def header(self, name: bytes) -> bytes | None:
        """Return a header's last value."""
        return dict(self.headers).get(name)


class SmallCall(msgspec.Struct, frozen=True):
    """A call that costs little. `dialect`: chat, messages, responses or embeddings. `id`: known to
    nobody else, so that the call is recognised."""

    dialect: str
    model: str
    stream: bool
    id: str

    @property
    def path(self) -> str:
        """Its path below /v1/."""
        return {"chat": "chat/completions"}.get(self.dialect, self.dialect)

    def body(self, *, bound: str) -> bytes:
        """Return its JSON. `bound`: the name of the chat API's output limit."""
        body: dict[str, Any] = {"model": self.model}
        match self.dialect:
            case "embeddings":
                body["input"] = "ping"
            case "responses":
                body |= {"input": PROMPT, "max_output_tokens": MAX_OUTPUT_TOKENS, "store": False}
            case _:
                body["messages"] = [{"role": "user", "content": PROMPT}]
                body[bound] = MAX_OUTPUT_TOKENS
        if self.stream:
            body["stream"] = True
        return json.dumps(body).encode()


def bound_of(endpoint: Endpoint, call: SmallCall) -> str:
    """Return what an endpoint calls the limit of output tokens."""
    newer = call.dialect == "chat" and endpoint.provider.name in _COMPLETION_TOKENS
    return "max_completion_tokens" if newer else "max_tokens"


async def exchange(
    client: UpstreamClient, endpoint: Endpoint, call: SmallCall, *, timeout_s: float, bound: str
) -> Exchange:
    """Send a call to an endpoint and read its whole answer. Never raises a GatewayError."""
    began = monotonic()
    until = began + timeout_s
    done = Exchange()
    try:
        outgoing = done.outgoing = await _outgoing(endpoint, call, bound)
        response = await client.send(endpoint, outgoing, until=until)
        try:
            done.status, done.headers = response.status, response.headers
            size = 0
            while size < MAX_BYTES and (chunk := await response.chunk(until, "idle")):
                done.chunks.append((monotonic() - began, chunk))
                size += len(chunk)
        finally:
            response.close()
    except GatewayError as failure:
        done.failure = failure
    done.took_s = monotonic() - began
    return done


def excerpt(body: bytes) -> str:
    """Return the beginning of a body, to be shown."""
    text = " ".join(body[: 4 * SHOWN_CHARS].decode("utf-8", "replace").split())
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


async def _outgoing(endpoint: Endpoint, call: SmallCall, bound: str) -> Outgoing:
    route = route_to(call.path, "POST")
    body = call.body(bound=bound)
    if endpoint.edit is not None:
        body = endpoint.edit(body)[0]
    headers = [
        (b"accept", b"text/event-stream" if call.stream else b"application/json"),
        (b"content-type", b"application/json"),
        (b"user-agent", USER_AGENT),
        (ID_HEADER, call.id.encode("ascii")),
    ]
    if not call.stream:
        headers.append((b"accept-encoding", b"gzip"))
    if call.dialect == "messages":
        headers.append((b"anthropic-version", b"2023-06-01"))
    provider = endpoint.provider
    outgoing = Outgoing(
        b"POST",
        provider.target(endpoint, route, b""),
        provider.head(endpoint, route, headers, endpoint.credential),
        body,
        fresh=True,
    )
    if endpoint.authorize is not None:
        outgoing, _ = await endpoint.authorize(outgoing)
    return outgoing
