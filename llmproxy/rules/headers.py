"""Which headers pass through, in each direction.

Unknown headers pass. Headers that frame a message on one connection, name another host, prove an
identity or belong to this proxy do not. Names are lower-case bytes. Order and duplicates are kept.
"""

from __future__ import annotations

from itertools import compress
from operator import itemgetter
from typing import NamedTuple

from llmproxy.calls import Headers, TraceContext


def vendors_id(headers: Headers) -> bytes | None:
    """Return an endpoint's own id of a call, for which its support asks."""
    named = dict(headers)
    return named.get(b"x-request-id") or named.get(b"request-id")  # Anthropic's name for it


def _names(text: str) -> frozenset[bytes]:
    return frozenset(text.encode("ascii").split())


# RFC 9110 section 7.6.1, with the older names that real proxies still send.
HOP_BY_HOP = _names(
    "connection http2-settings keep-alive proxy-authenticate proxy-authorization "
    "proxy-connection te trailer transfer-encoding upgrade"
)
# Headers in which a client proves its identity. The endpoint sees its own credential instead.
CREDENTIALS = _names("authorization api-key x-api-key x-goog-api-key ocp-apim-subscription-key")
# They name an account, so they are sent with the client's own credential only.
ACCOUNT = frozenset((b"openai-organization", b"openai-project", b"x-goog-user-project"))
# The client's address, route and page are not passed on to vendors.
_FORWARDING = _names(
    "cf-connecting-ip cf-connecting-ipv6 cf-ew-via cf-ipcountry cf-pseudo-ipv4 cf-ray cf-visitor "
    "cf-worker client-ip cookie cookie2 fastly-client-ip forwarded origin referer "
    "sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user true-client-ip via "
    "x-amz-cf-id x-amzn-trace-id x-azure-clientip x-azure-ref x-azure-socketip x-client-ip "
    "x-cloud-trace-context x-cluster-client-ip x-envoy-external-address "
    "x-original-forwarded-for x-original-host x-original-url x-real-ip x-rewrite-url"
)
_UP_ALWAYS = (
    HOP_BY_HOP
    | _FORWARDING
    | {
        b"host",
        b"content-length",
        b"content-encoding",  # request bodies are decoded
        b"expect",
        b"x-ms-spillover-deployment",  # would let a client choose what Azure charges
    }
)
_UP_OWN_CREDENTIAL = _UP_ALWAYS | CREDENTIALS | ACCOUNT
_UP_PREFIXES = (b"x-llmproxy-", b"x-forwarded-")

_DOWN = (
    HOP_BY_HOP
    | ACCOUNT
    | {
        b"access-control-expose-headers",  # see _DOWN_PREFIXES; named here to be found at once
        b"anthropic-organization-id",
        b"content-length",  # framing is computed again
        b"set-cookie",
        b"set-cookie2",
    }
)
# The operator decides which pages may read an answer (web_pages/origins.py), not the vendor.
_DOWN_PREFIXES = (b"x-llmproxy-", b"access-control-")
# The limits of the endpoint's account; dropped for a caller that has limits of its own.
_LIMITS = (b"x-ratelimit-", b"anthropic-ratelimit-")
_DOWN_PREFIXES_OWN_LIMITS = (*_DOWN_PREFIXES, *_LIMITS)
_OF_TRANSLATION = frozenset((b"x-llmproxy-dropped",))  # it stands among the endpoint's headers

_NAME = itemgetter(0)
# Lists of names whose decision is kept: more than there are clients and vendors of a kind, and
# bounded for those that make names up.
MAX_DECIDED = 256
MAX_DECIDED_BYTES = 2_048

_SANDBOX: Headers = [
    (b"content-security-policy", b"sandbox"),
    (b"x-content-type-options", b"nosniff"),
]
_JSON = (b"content-type", b"application/json")
_ONLY_READ = (b"application/json", b"text/event-stream")  # never shown as a page

# The usual values of Connection, which name no other header.
_PLAIN_CONNECTION = frozenset((b"keep-alive", b"Keep-Alive", b"close"))


def upstream_headers(headers: Headers, *, keep_credential: bool) -> Headers:
    """Return the client's headers that an endpoint may see.

    `keep_credential`: the endpoint has no credential of its own, so the client's is sent. Framing,
    host and the endpoint's own headers are not added here.
    """
    return (_UP if keep_credential else _UP_WITHOUT_CREDENTIAL).passing(headers)


def downstream_headers(headers: Headers, *, own_limits: bool = False) -> Headers:
    """Return the endpoint's headers that the client may see.

    `own_limits`: the client has limits of its own here, so those of the endpoint's account are
    dropped.
    """
    return (_TO_CLIENT_WITHOUT_LIMITS if own_limits else _TO_CLIENT).passing(headers)


def sandboxed(headers: Headers) -> Headers:
    """Return an endpoint's headers, such that no browser runs a script in what they describe.

    Shown as a page, an answer would have our origin, which is that of the dashboard.
    """
    if _JSON in headers or _is_only_read(headers):
        return headers
    return headers + _SANDBOX


def onward(headers: Headers, trace: TraceContext, attempt: int) -> Headers:
    """Return a call's headers for attempt number `attempt` (from 1), whose span is the parent."""
    dropped = (b"traceparent",) if trace.parent_id is not None else (b"traceparent", b"tracestate")
    kept = [header for header in headers if header[0] not in dropped]
    parent = f"00-{trace.trace_id}-{trace.attempt_id(attempt):016x}-{trace.flags:02x}"
    kept.append((b"traceparent", parent.encode("ascii")))
    return kept


def _is_only_read(headers: Headers) -> bool:
    kinds = [value for name, value in headers if name == b"content-type"]
    return len(kinds) == 1 and kinds[0].partition(b";")[0].strip().lower() in _ONLY_READ


class _Filter:
    """Which headers pass: all but those dropped by name, by prefix, or listed by Connection.

    A client and an endpoint send the same names again and again, so what they decide is kept for
    the latest lists of names: looking at each name costs five times as much.
    """

    def __init__(
        self,
        dropped: frozenset[bytes],
        prefixes: tuple[bytes, ...],
        kept: frozenset[bytes] = frozenset(),
    ) -> None:
        self._dropped = dropped
        self._prefixes = prefixes
        self._kept = kept  # in spite of the prefixes
        self._decided: dict[tuple[bytes, ...], _Decision] = {}

    def passing(self, headers: Headers) -> Headers:
        """Return the headers that pass, in their order."""
        names = tuple(map(_NAME, headers))
        decision = self._decided.get(names) or self._decide(names)
        kept = list(compress(headers, decision.passes))
        for place in decision.connections:
            if (value := headers[place][1]) not in _PLAIN_CONNECTION:
                listed = {name.strip().lower() for name in value.split(b",")}
                kept = [header for header in kept if header[0] not in listed]
        return kept

    def _decide(self, names: tuple[bytes, ...]) -> _Decision:
        passes = [
            name in self._kept or not (name in self._dropped or name.startswith(self._prefixes))
            for name in names
        ]
        connections = [place for place, name in enumerate(names) if name == b"connection"]
        decision = _Decision(passes, connections)
        if sum(map(len, names)) <= MAX_DECIDED_BYTES:
            if len(self._decided) >= MAX_DECIDED:
                self._decided.clear()
            self._decided[names] = decision
        return decision


class _Decision(NamedTuple):
    """Which headers of a list pass, and where Connection stands: it lists more that do not."""

    passes: list[bool]
    connections: list[int]


_UP = _Filter(_UP_ALWAYS, _UP_PREFIXES)
_UP_WITHOUT_CREDENTIAL = _Filter(_UP_OWN_CREDENTIAL, _UP_PREFIXES)
_TO_CLIENT = _Filter(_DOWN, _DOWN_PREFIXES, _OF_TRANSLATION)
_TO_CLIENT_WITHOUT_LIMITS = _Filter(_DOWN, _DOWN_PREFIXES_OWN_LIMITS, _OF_TRANSLATION)
