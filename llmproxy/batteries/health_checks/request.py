"""Sends a health check, and reads what the answer shows.

A check is a GET with the endpoint's own key: of the vendor's list of models, for which no vendor
charges, or of a path that the operator names. It never sends a client's key or headers. A vendor
without a list of models answers 404. Even that shows more than a TLS handshake, which a proxy in
front of a dead server completes, too.
"""

from __future__ import annotations

from time import time

import msgspec

import llmproxy
from llmproxy.batteries.health_checks.findings import Answered, Finding
from llmproxy.calls import Header, Outgoing
from llmproxy.errors import Answer, UpstreamError, UpstreamFailed
from llmproxy.operations import Route
from llmproxy.operations.table import route_to
from llmproxy.providers.base import Endpoint
from llmproxy.rules.encoding import readable
from llmproxy.upstream import Response, UpstreamClient

FREE = "free"
MAX_BYTES = 8 * 1024 * 1024  # OpenRouter's list of models has about one
USER_AGENT = f"llmproxy/{llmproxy.__version__} health-check".encode("ascii")
HEADERS = [(b"accept", b"application/json"), (b"user-agent", USER_AGENT)]


class _Model(msgspec.Struct):
    id: str = ""


class _ModelList(msgspec.Struct):
    data: list[_Model] = []
    error: object = None


_decode = msgspec.json.Decoder(_ModelList).decode


def target_of(endpoint: Endpoint, mode: str) -> bytes:
    """Return the request target of a check. `mode`: `free`, or the operator's path."""
    if mode != FREE:
        return mode.encode("ascii")
    query = endpoint.provider.free_check.partition("?")[2].encode("ascii")
    return endpoint.provider.target(endpoint, _route(endpoint), query)


def _route(endpoint: Endpoint) -> Route:
    return route_to(endpoint.provider.free_check.partition("?")[0], "GET")


async def look_at(
    client: UpstreamClient,
    endpoint: Endpoint,
    mode: str,
    *,
    until: float,
) -> tuple[Finding, tuple[Header, ...]]:
    """Send a check and return what it found, no later than `until`, and the credential sent.

    Raises Overload if this machine has no descriptors or memory for it, CredentialRejected without
    a token.
    """
    credential = endpoint.credential
    head = endpoint.provider.head(endpoint, _route(endpoint), HEADERS, credential)
    outgoing = Outgoing(b"GET", target_of(endpoint, mode), head, b"")
    if endpoint.authorize is not None:
        outgoing, added = await endpoint.authorize(outgoing)
        credential += added
    try:
        response = await client.send(endpoint, outgoing, until=until)
        try:
            answer = Answer(response.status, response.headers, await _body(response, until))
        finally:
            response.close()
    except UpstreamError as failure:
        failure.endpoint = endpoint.name
        return failure, credential
    return _meaning(answer, endpoint, mode, has_key=bool(credential)), credential


async def _body(response: Response, until: float) -> bytes:
    """Return the body, or its beginning if it is very long."""
    body = b""
    while len(body) < MAX_BYTES and (chunk := await response.chunk(until, "first byte")):
        body += chunk
    return body


def _meaning(answer: Answer, endpoint: Endpoint, mode: str, *, has_key: bool) -> Finding:
    is_list = mode == FREE
    if answer.status < 300:
        return _listed(answer, has_key=has_key) if is_list else Answered()
    if not is_list and answer.status < 500:
        return Answered()  # a refusal by the operator's path does not mean that calls are refused
    failure = endpoint.provider.failure(answer, endpoint=endpoint.name, wall_now=time())
    return failure or Answered()  # None: a redirection, which is not followed


def _listed(answer: Answer, *, has_key: bool) -> Finding:
    encoding = b",".join(value for name, value in answer.headers if name == b"content-encoding")
    body = readable(answer.body, encoding, max_bytes=MAX_BYTES) if encoding else answer.body
    if body is None or len(body) >= MAX_BYTES:
        return Answered(proves_key=has_key)
    try:
        listed = _decode(body)
    except msgspec.ValidationError:  # JSON of another shape
        return Answered(proves_key=has_key)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UpstreamFailed("a health check was answered with 200 and no JSON")
    names = frozenset(model.id.removeprefix("models/") for model in listed.data)  # Gemini's prefix
    return Answered(proves_key=has_key and not listed.error, models=names)
