"""Which headers pass through, in each direction.

Unknown headers pass. Headers that frame a message on one connection, name another host, prove an
identity or belong to this proxy do not. Names are lower-case bytes. Order and duplicates are kept.
"""

from __future__ import annotations

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

# Names that almost every message has and that pass: one look-up instead of three tests halves the
# time of the filter. Leaving a name out changes nothing else.
_UP_USUAL = _names(
    "accept accept-encoding accept-language anthropic-beta anthropic-version content-type "
    "idempotency-key openai-beta traceparent user-agent x-request-id x-stainless-arch "
    "x-stainless-async x-stainless-helper-method x-stainless-lang x-stainless-os "
    "x-stainless-package-version x-stainless-raw-response x-stainless-read-timeout "
    "x-stainless-retry-count x-stainless-runtime x-stainless-runtime-version "
    "x-stainless-timeout"
)
_DOWN_USUAL = _names(
    "alt-svc apim-request-id azureml-model-session cache-control cf-cache-status "
    "cf-ray content-encoding content-type date openai-processing-ms openai-version server "
    "strict-transport-security vary x-content-type-options "
    "x-envoy-upstream-service-time x-ms-client-request-id x-ms-deployment-name "
    "x-ms-rai-invoked x-ms-region x-ratelimit-limit-requests x-ratelimit-limit-tokens "
    "x-ratelimit-remaining-requests x-ratelimit-remaining-tokens x-ratelimit-reset-requests "
    "x-ratelimit-reset-tokens x-request-id x-llmproxy-dropped"
)
_DOWN_USUAL_OWN_LIMITS = frozenset(name for name in _DOWN_USUAL if not name.startswith(_LIMITS))

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
