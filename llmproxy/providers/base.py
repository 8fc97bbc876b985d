"""Endpoints, and the base class of providers: how a vendor is addressed, what its answers mean.

Pure translation, without I/O: from a route to a request target, from a key to a header, from an
error response to an UpstreamError. Representations never contain a credential.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit

import msgspec
from msgspec.structs import replace

from llmproxy.calls import Call, Header, Headers, Outgoing, header_lines
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
from llmproxy.record import CallRecord
from llmproxy.rules.authority import authority
from llmproxy.rules.limits import rate_limits
from llmproxy.rules.names import caught
from llmproxy.streams import Mask, UpstreamResponse, unmasked

API_VERSION = "api-version"
BARE_KEYS = frozenset((b"api-key", b"x-api-key"))  # how clients send a key without a scheme
_ONLY_API_VERSION = b"api-version="


# Changes the parameters in a JSON body; returns the body, and the changes in words ("": none). Its
# `str` says what it may change.
EditBody = Callable[[bytes], tuple[bytes, str]]
# Returns a request as an endpoint wants it, and the credential that it has added. Raises
# CredentialRejected if it cannot get one.
Authorize = Callable[[Outgoing], Awaitable[tuple[Outgoing, tuple[Header, ...]]]]
# Returns a call as an endpoint understands it, and what puts its response into the client's dialect
# (None: it speaks that). Raises Untranslatable.
InDialect = Callable[[UpstreamResponse], UpstreamResponse]
Translator = Callable[[Call, CallRecord], tuple[Call, InDialect | None]]

NO_PRICE_LIST = "this installation has no `llmproxy.batteries.price_list`"


class Endpoint(msgspec.Struct, frozen=True):
    """One place that can answer calls. Contains only what the config says, and never changes.

    `model`: the model name to send; None = the client's, or as `model_pattern` says. `prefix`:
    the path of the base URL, without a trailing slash. `credential`: the headers that authenticate
    us; without them and without a `token_source` (an identity at a cloud) the client's own key is
    sent. `query`: parameters of every request, encoded. `deployment`: that of Azure's classic
    paths, percent-encoded. `limits`: the operator's limits. `price`: of its model, or why it is not
    known. `mask`: for what may quote what we send. `edit`: changes the parameters of calls; None =
    none. `translators`: by the dialects that it may not speak. `authorize`: adds a token or a
    signature to a request, or addresses it as this vendor wants it; None = it is sent as it is.
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
    token_source: str | None = None
    extra_headers: tuple[Header, ...] = ()
    extra_header_names: frozenset[bytes] = frozenset()
    query: bytes = b""
    first_byte_timeout_s: float | None = None
    deployment: bytes = b""
    limits: Limits = Limits()
    price: Price | str = NO_PRICE_LIST
    mask: Mask = unmasked
    edit: EditBody | None = None
    authorize: Authorize | None = None
    translators: Mapping[str, Translator] = {}
    model_pattern: str | None = None

    def named(self, model: str, group: str) -> Endpoint:
        """Return the endpoint with a model for `model_pattern`. `model`: the client's name, which
        `group` serves; the star stands for what that group's star does, else for its name."""
        star = caught(group, model) or model if "*" in group else group
        name = (self.model_pattern or "*").replace("*", star)
        deployment = self.deployment.replace(b"%2A", quote(star, safe="").encode("ascii"))
        return replace(self, model=name, deployment=deployment)

    @property
    def origin(self) -> str:
        """Scheme, host and port: to whom a client's key is shown."""
        return f"{self.scheme}://{authority(self.host, self.port)}"

    @property
    def has_own_credential(self) -> bool:
        """Whether calls are sent with our credential instead of the client's."""
        return bool(self.credential) or self.token_source is not None

    def takes_key_of(self, call: Call) -> bool:
        """Return whether the client's own key is sent. It never is if it is a key of this proxy."""
        return call.caller is None and not self.has_own_credential

    @property
    def account(self) -> str:
        """Identifies the account that limits are counted for. It is a digest of address,
        credential and model: equal on every instance, and without information about the key."""
        place = (self.scheme, self.host, str(self.port), self.model or "", self.token_source or "")
        parts = [part.encode() for part in place]
        parts += [self.prefix, self.deployment, self.query]
        parts += [value for _, value in (*self.credential, *self.extra_headers)]
        return blake2b(b"\0".join(parts), digest_size=12).hexdigest()

    def __repr__(self) -> str:
        where = f"{self.origin}{self.prefix.decode('ascii')}"
        return (
            f"Endpoint({self.group!r}, {self.name!r}, {self.provider.name}, {where}, "
            f"model={self.model!r}, weight={self.weight}, tier={self.tier})"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("endpoint", repr(self))]


Endpoints = Mapping[str, tuple[Endpoint, ...]]  # by group


class Provider:
    """A vendor: its default address, and the meaning of its answers. This class works like OpenAI;
    subclasses override what differs.

    `base_url`: the default base URL; None = the operator must set one. `hosts`: host names beside
    its own, by which endpoints without `provider` are recognised; `*` stands for any characters. A
    server of this machine (http) is not recognised by its address.
    `key_header`: `authorization` (as Bearer), or a header that takes the bare key.
    `fixed_windows`: limits refill all at once, and requests are counted over windows of seconds
    instead of a minute.
    `charges_output_bound`: it counts `max_tokens` in full when a call arrives; others count what
    is written. `free_check`: a path for health checks, for which it charges nothing.
    """

    def __init__(
        self,
        name: str,
        base_url: str | None = None,
        *,
        hosts: Sequence[str] = (),
        key_header: str = "authorization",
        fixed_windows: bool = False,
        charges_output_bound: bool = False,
        free_check: str = "models",
    ) -> None:
        self.name = name
        self.base_url = base_url
        own = urlsplit(base_url or "")
        self.hosts = (*hosts, own.hostname or "") if own.scheme == "https" else tuple(hosts)
        self.fixed_windows = fixed_windows
        self.charges_output_bound = charges_output_bound
        self.free_check = free_check
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
        """Return the client's own key in the header that this vendor expects; () without a key.

        AzureOpenAI clients send `api-key`, OpenAI clients a Bearer key. JSON Web Tokens, which
        begin with `eyJ` (RFC 7519), are always sent as Bearer.
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

    def head(
        self, endpoint: Endpoint, route: Route, headers: Headers, credential: tuple[Header, ...]
    ) -> bytes:
        """Return header lines for a route. The operator's default_headers replace the client's of
        the same name."""
        del route
        replaced = endpoint.extra_header_names
        if replaced:
            headers = [header for header in headers if header[0] not in replaced]
        host = (b"host", endpoint.host_header)
        return header_lines([host, *headers, *credential, *endpoint.extra_headers])

    # ---- the meaning of answers: override these for a vendor with its own formats

    def classify(self, event: bytes, dialect: Dialect) -> EventKind:
        """Classify an event at the beginning of a stream."""
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
        mask: Mask = unmasked,
        event: bytes | None = None,
    ) -> UpstreamError | None:
        """Return the failure that an answer means; None if it is a success.

        `event`: the error event that a stream with status 200 began with; None for other answers.
        `endpoint`: the endpoint's name. `wall_now`: Unix time, for resets given as a date.
        `mask`: for the failure's message, from which all that looks like a key is removed, too.
        """
        if event is not None:
            body = fields(event)[1]
        elif answer.status >= 400:
            body = readable_body(answer)
        else:
            return None
        error = self.parse_error(body)
        return failure_of(error, answer, endpoint=endpoint, wall_now=wall_now, mask=mask)


def encoded_query(parameters: Sequence[tuple[str, str]]) -> bytes:
    """Return parameters as a query string."""
    return "&".join(
        f"{quote(name, safe='')}={quote(value, safe=':,/')}" for name, value in parameters
    ).encode("ascii")


def _merged(endpoint: Endpoint, query: bytes) -> bytes:
    """Return the client's parameters, unchanged and in order, followed by the endpoint's."""
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
