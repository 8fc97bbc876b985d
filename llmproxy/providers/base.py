"""What an endpoint is, how an OpenAI-compatible one is addressed, and what its answers mean.

Pure translation: from a route to a request target, from a key to a header, from an error response
to an UpstreamError. Opens nothing. A credential is never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, unquote_plus

import msgspec

from llmproxy.calls import Call, Header, Headers
from llmproxy.config import Limits, Price
from llmproxy.errors import Answer, UpstreamError
from llmproxy.operations import Dialect, EventKind, Route
from llmproxy.operations.rate_limits import RateLimits
from llmproxy.operations.sse import fields
from llmproxy.providers.error_responses import (
    ErrorResponse,
    failure_of,
    parse_error,
    readable_body,
)
from llmproxy.rules.limits import rate_limits

API_VERSION = "api-version"
BARE_KEYS = frozenset((b"api-key", b"x-api-key"))  # how clients send a key without a scheme
_ONLY_API_VERSION = b"api-version="


class Endpoint(msgspec.Struct, frozen=True):
    """One place that can answer: everything about it that does not change.

    `model`: the vendor's name for it; None: the client's own. `prefix`: the path of the base URL,
    without a trailing slash. `credential`: the headers that prove our identity; without them and
    without a `token_source`, the client's own key is sent. `token_source`, `token_scope`: where
    Entra tokens come from, and for what. `query`: parameters of every request, encoded.
    `deployment`: of Azure's classic style, percent-encoded. `limits`: those that the operator set.
    `price`: as configured; None: unknown.
    """

    group: str
    name: str
    provider: Provider
    model: str | None
    weight: int
    tier: int
    scheme: str
    host: str
    port: int
    host_header: bytes
    prefix: bytes
    credential: tuple[Header, ...] = ()
    token_scope: str | None = None
    token_source: str | None = None
    extra_headers: tuple[Header, ...] = ()
    extra_header_names: frozenset[bytes] = frozenset()
    query: bytes = b""
    first_byte_timeout_s: float | None = None
    deployment: bytes = b""
    limits: Limits = Limits()
    price: Price | None = None

    @property
    def has_own_credential(self) -> bool:
        """Whether calls are sent with a credential of ours, not with the client's."""
        return bool(self.credential) or self.token_source is not None

    def takes_key_of(self, call: Call) -> bool:
        """Whether the client's own key is sent; never if it is a key of this proxy."""
        return call.caller is None and not self.has_own_credential

    @property
    def account(self) -> str:
        """Identifies what its limits are counted for: equal for the same place, credential and
        model on every instance. A digest, which reveals nothing of the credential."""
        place = (self.scheme, self.host, str(self.port), self.model or "", self.token_source or "")
        parts = [part.encode() for part in place]
        parts += [self.prefix, self.deployment, self.query]
        parts += [value for _, value in (*self.credential, *self.extra_headers)]
        return blake2b(b"\0".join(parts), digest_size=12).hexdigest()

    def __repr__(self) -> str:
        where = f"{self.scheme}://{self.host}:{self.port}{self.prefix.decode('ascii')}"
        return (
            f"Endpoint({self.group!r}, {self.name!r}, {self.provider.name}, {where}, "
            f"model={self.model!r}, weight={self.weight}, tier={self.tier})"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("endpoint", repr(self))]


class Provider:
    """A vendor: its usual address, and what its answers mean. Like OpenAI; subclasses differ.

    `base_url`: None: there is no usual one, the operator must set it. `hosts`: recognise an
    endpoint without `provider`; one that begins with a dot matches every name that ends in it.
    `key_header`: `authorization` (as Bearer), or a header that takes the bare key. `token_scope`:
    Entra's scope, for vendors that take its tokens. `fixed_windows`: its limits refill all at once,
    and it counts requests over windows of seconds, not of a minute.
    """

    def __init__(
        self,
        name: str,
        base_url: str | None = None,
        *,
        hosts: Sequence[str] = (),
        key_header: str = "authorization",
        token_scope: str | None = None,
        fixed_windows: bool = False,
    ) -> None:
        self.name = name
        self.base_url = base_url
        self.hosts = tuple(hosts)
        self.token_scope = token_scope
        self.fixed_windows = fixed_windows
        self._key_header = key_header.encode("ascii")

    def __repr__(self) -> str:
        return f"Provider({self.name!r})"

    def credential_headers(self, api_key: str) -> tuple[Header, ...]:
        """Return the headers that carry a key."""
        key = api_key.encode("latin-1")
        if self._key_header == b"authorization":
            return ((b"authorization", b"Bearer " + key),)
        return ((self._key_header, key),)

    def brought_credential(self, headers: Headers) -> tuple[Header, ...]:
        """Return the client's own key as this vendor takes it; empty if the client sent none.

        An AzureOpenAI client sends `api-key`, an OpenAI client a Bearer key. A token (a JSON Web
        Token begins with `eyJ`, RFC 7519) is a Bearer everywhere.
        """
        for name, value in headers:
            if name == b"authorization":
                scheme, _, key = value.partition(b" ")
                if scheme.lower() != b"bearer" or key.startswith(b"eyJ"):
                    return ((name, value),)
                return self.credential_headers(key.strip().decode("latin-1"))
            if name in BARE_KEYS:
                return self.credential_headers(value.decode("latin-1"))
        return ()

    def target(self, endpoint: Endpoint, route: Route, query: bytes) -> bytes:
        """Return the request target, path and query, for a route at an endpoint.

        `query` is the client's, raw. The endpoint's own parameters replace the client's of the same
        name, the client's `api-version` is dropped, and `model` becomes the endpoint's name.
        """
        path = self.path(endpoint, route)
        if query and not (query.startswith(_ONLY_API_VERSION) and b"&" not in query):
            query = _merged(endpoint, query)
        else:
            query = endpoint.query
        return path + b"?" + query if query else path

    def path(self, endpoint: Endpoint, route: Route) -> bytes:
        """Return the path of a route at an endpoint."""
        return endpoint.prefix + b"/" + route.path.encode("ascii")

    # ---- what it answers: override these for a vendor with shapes of its own

    def classify(self, event: bytes, dialect: Dialect) -> EventKind:
        """Say what an event at the beginning of a stream means."""
        return dialect.classify(event)

    def parse_error(self, body: bytes) -> ErrorResponse:
        """Read an error, from the body of an answer or from the data of an error event."""
        return parse_error(body)

    def rate_limits(self, headers: Headers, *, wall_now: float) -> RateLimits | None:
        """Read the limits that an answer's headers report. `wall_now`: Unix time."""
        return rate_limits(headers, wall_now=wall_now)

    def failure(
        self,
        answer: Answer,
        *,
        endpoint: str,
        wall_now: float,
        secrets: Sequence[bytes] = (),
        event: bytes | None = None,
    ) -> UpstreamError | None:
        """Return the failure that an answer stands for; None if it is none.

        `event`: the error event that a 200 stream began with; a status of 400 and above needs none.
        `endpoint` is its name, `wall_now` Unix time (for resets that are instants), `secrets` what
        must not appear in the failure's message, beyond everything that looks like a key.
        """
        if event is not None:
            body = fields(event)[1]
        elif answer.status >= 400:
            body = readable_body(answer)
        else:
            return None
        error = self.parse_error(body)
        return failure_of(error, answer, endpoint=endpoint, wall_now=wall_now, secrets=secrets)


def encoded_query(parameters: Sequence[tuple[str, str]]) -> bytes:
    """Return parameters as a query string."""
    return "&".join(
        f"{quote(name, safe='')}={quote(value, safe=':,/')}" for name, value in parameters
    ).encode("ascii")


def _merged(endpoint: Endpoint, query: bytes) -> bytes:
    """Return the client's parameters, as they came, followed by the endpoint's own."""
    ours = {_name_of(parameter) for parameter in endpoint.query.split(b"&")} | {API_VERSION}
    kept = []
    for parameter in query.split(b"&"):
        name = _name_of(parameter)
        if not parameter or name in ours:
            continue
        if name == "model" and endpoint.model is not None:
            kept.append(encoded_query([("model", endpoint.model)]))
        else:
            kept.append(parameter)
    if endpoint.query:
        kept.append(endpoint.query)
    return b"&".join(kept)


def _name_of(parameter: bytes) -> str:
    return unquote_plus(parameter.partition(b"=")[0].decode("latin-1"))
