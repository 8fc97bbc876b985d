"""Parse a received request into an `ApiCall`: find its API flavour, check its key.

Paths: OpenAI `/v1/...`; Azure classic `/openai/deployments/{d}/...` and `/openai/...`, which need
`api-version`; Azure v1 `/openai/v1/...`. A VendorError is worded as that vendor words it.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

import msgspec

from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import ApiCall, ApiFlavour, Header, Received
from llmproxy.tools.simulator.settings import VendorSettings

_NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)
_AZURE_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
    "valid key for an active subscription and use a correct regional API endpoint for your "
    "resource."
)


class ParsedPath(msgspec.Struct, frozen=True):
    """The parts of a path."""

    flavour: ApiFlavour
    operation: str
    deployment: str | None = None


def parse_target(target: bytes) -> ParsedPath:
    """Parse the path of a request target, which is percent-encoded."""
    path = target.partition(b"?")[0].decode("latin-1")
    if path.startswith("/openai/v1/"):
        return ParsedPath(ApiFlavour.AZURE_V1, path[11:])
    if path.startswith("/openai/deployments/"):
        deployment, _, operation = path[20:].partition("/")
        return ParsedPath(ApiFlavour.AZURE_CLASSIC, operation, unquote(deployment))
    if path.startswith("/openai/"):
        return ParsedPath(ApiFlavour.AZURE_CLASSIC, path[8:])
    if path.startswith("/v1/"):
        return ParsedPath(ApiFlavour.OPENAI, path[4:])
    return ParsedPath(ApiFlavour.OPENAI, "")


def parse_call(received: Received, parsed: ParsedPath, settings: VendorSettings) -> ApiCall:
    """Check path, key and api-version. Raises VendorError (401, 404)."""
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in received.headers
    }
    path, _, raw_query = received.target.decode("latin-1").partition("?")
    query = dict(parse_qsl(raw_query, keep_blank_values=True)) if raw_query else {}
    azure = parsed.flavour is not ApiFlavour.OPENAI
    wrong_vendor = settings.dialect == ("openai" if azure else "azure")
    if not parsed.operation or wrong_vendor:
        raise _not_found(received.method, path, azure=azure)
    _check_key(headers, settings.keys, azure=azure)
    if parsed.flavour is ApiFlavour.AZURE_CLASSIC and not query.get("api-version"):
        raise _not_found(received.method, path, azure=True)
    return ApiCall(
        parsed.flavour,
        received.method,
        parsed.operation,
        parsed.deployment,
        query,
        headers,
        received.body,
    )


def no_such_path(call: ApiCall) -> VendorError:
    """Return the error for an unknown operation, or a wrong method."""
    return _not_found(call.method, f"/v1/{call.operation}", azure=call.azure)


def _not_found(method: str, path: str, *, azure: bool) -> VendorError:
    return VendorError(404, "Resource not found" if azure else f"Invalid URL ({method} {path})")


def _check_key(headers: dict[str, str], keys: frozenset[str] | None, *, azure: bool) -> None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else ""
    if azure:
        key = headers.get("api-key", "") or key
    if key and (keys is None or key in keys):
        return
    if azure:
        raise VendorError(401, _AZURE_KEY, code="invalid_api_key")
    if not key:
        raise VendorError(401, _NO_KEY)
    text = f"Incorrect API key provided: {_masked(key)}. You can find your API key in your account."
    raise VendorError(401, text, code="invalid_api_key")


def _masked(key: str) -> str:
    return f"{key[:3]}***{key[-4:]}" if len(key) > 12 else "***"


_COOKIE_S = 1800


def vendor_headers(flavour: ApiFlavour, request_id: str, region: str, *, ms: int) -> list[Header]:
    """Return the headers that a vendor adds to every answer."""
    name = request_id.encode()
    if flavour is ApiFlavour.OPENAI:
        return [
            (b"x-request-id", b"req_" + name),
            (b"openai-processing-ms", b"%d" % ms),
            (b"openai-version", b"2020-10-01"),
            (b"openai-organization", b"org-simulated"),
            (b"openai-project", b"proj_simulated"),
            (b"set-cookie", b"__cf_bm=%b; path=/; Max-Age=%d; HttpOnly" % (name, _COOKIE_S)),
            (b"server", b"simulator"),
        ]
    return [
        (b"x-request-id", name),
        (b"apim-request-id", name),
        (b"x-ms-region", region.encode("ascii", "replace")),
        (b"x-ms-rai-invoked", b"true"),
        (b"openai-processing-ms", b"%d" % ms),
        (b"set-cookie", b"ARRAffinity=%b; Path=/; HttpOnly; Secure" % name),
    ]
