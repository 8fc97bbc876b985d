"""Which headers pass through, in each direction.

Unknown headers pass. Headers that frame a message on one connection, name another host, prove an
identity or belong to this proxy do not. Names are lower-case bytes. Order and duplicates are kept.
"""

from __future__ import annotations

from llmproxy.calls import Headers

# RFC 9110 section 7.6.1, with the older names that real proxies still send.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Headers in which a client proves its identity. The endpoint sees its own credential instead.
CREDENTIALS = frozenset(
    (
        b"authorization",
        b"api-key",
        b"x-api-key",
        b"x-goog-api-key",
        b"ocp-apim-subscription-key",
    )
)
# They name an account, so they are sent with the client's own credential only.
ACCOUNT = frozenset((b"openai-organization", b"openai-project"))
# The client's address and route are not passed on to vendors.
_FORWARDING = frozenset(
    (
        b"client-ip",
        b"cookie",
        b"cookie2",
        b"fastly-client-ip",
        b"forwarded",
        b"true-client-ip",
        b"via",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
    )
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
        b"anthropic-organization-id",
        b"content-length",  # framing is computed again
        b"set-cookie",
        b"set-cookie2",
    }
)
_DOWN_PREFIXES = (b"x-llmproxy-",)
# The limits of the endpoint's account; dropped for a caller that has limits of its own.
_DOWN_PREFIXES_OWN_LIMITS = (b"x-llmproxy-", b"x-ratelimit-", b"anthropic-ratelimit-")

# Names that almost every message has and that pass: one look-up instead of three tests halves the
# time of the filter. Leaving a name out changes nothing else.
_UP_USUAL = frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"anthropic-beta",
        b"anthropic-version",
        b"content-type",
        b"idempotency-key",
        b"openai-beta",
        b"traceparent",
        b"user-agent",
        b"x-request-id",
        b"x-stainless-arch",
        b"x-stainless-async",
        b"x-stainless-helper-method",
        b"x-stainless-lang",
        b"x-stainless-os",
        b"x-stainless-package-version",
        b"x-stainless-raw-response",
        b"x-stainless-read-timeout",
        b"x-stainless-retry-count",
        b"x-stainless-runtime",
        b"x-stainless-runtime-version",
        b"x-stainless-timeout",
    )
)
_DOWN_USUAL = frozenset(
    (
        b"access-control-expose-headers",
        b"alt-svc",
        b"apim-request-id",
        b"azureml-model-session",
        b"cache-control",
        b"cf-cache-status",
        b"cf-ray",
        b"content-encoding",
        b"content-type",
        b"date",
        b"openai-processing-ms",
        b"openai-version",
        b"server",
        b"strict-transport-security",
        b"vary",
        b"x-content-type-options",
        b"x-envoy-upstream-service-time",
        b"x-ms-client-request-id",
        b"x-ms-deployment-name",
        b"x-ms-rai-invoked",
        b"x-ms-region",
        b"x-ratelimit-limit-requests",
        b"x-ratelimit-limit-tokens",
        b"x-ratelimit-remaining-requests",
        b"x-ratelimit-remaining-tokens",
        b"x-ratelimit-reset-requests",
        b"x-ratelimit-reset-tokens",
        b"x-request-id",
    )
)
_DOWN_USUAL_OWN_LIMITS = frozenset(
    name for name in _DOWN_USUAL if not name.startswith(_DOWN_PREFIXES_OWN_LIMITS)
)

# The usual values of Connection, which name no other header.
_PLAIN_CONNECTION = frozenset((b"keep-alive", b"Keep-Alive", b"close"))


def upstream_headers(headers: Headers, *, keep_credential: bool) -> Headers:
    """Return the client's headers that an endpoint may see.

    `keep_credential`: the endpoint has no credential of its own, so the client's is sent. Framing,
    host and the endpoint's own headers are not added here.
    """
    dropped = _UP_ALWAYS if keep_credential else _UP_OWN_CREDENTIAL
    return _passing(headers, _UP_USUAL, dropped, _UP_PREFIXES)


def downstream_headers(headers: Headers, *, own_limits: bool = False) -> Headers:
    """Return the endpoint's headers that the client may see.

    `own_limits`: the client has limits of its own here, so those of the endpoint's account are
    dropped.
    """
    if own_limits:
        return _passing(headers, _DOWN_USUAL_OWN_LIMITS, _DOWN, _DOWN_PREFIXES_OWN_LIMITS)
    return _passing(headers, _DOWN_USUAL, _DOWN, _DOWN_PREFIXES)


def _passing(
    headers: Headers,
    usual: frozenset[bytes],
    dropped: frozenset[bytes],
    prefixes: tuple[bytes, ...],
) -> Headers:
    """Return all headers except those dropped by name, by prefix, or listed by Connection.

    `usual`: names that always pass; the fast path for nearly every header.
    """
    kept: Headers = []
    listed: set[bytes] | None = None
    for header in headers:
        name = header[0]
        if name in usual:
            kept.append(header)
        elif name in dropped:
            if name == b"connection" and header[1] not in _PLAIN_CONNECTION:
                listed = _names_in(header[1], listed)
        elif not name.startswith(prefixes):
            kept.append(header)
    return kept if listed is None else [header for header in kept if header[0] not in listed]


def _names_in(connection: bytes, others: set[bytes] | None) -> set[bytes]:
    """Return the header names that a Connection header lists, with those of earlier ones."""
    names = {name.strip().lower() for name in connection.split(b",")}
    return names if others is None else names | others
