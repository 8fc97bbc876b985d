"""The data-plane requests that the proxy answers itself: the list of models, OPTIONS, 405."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from llmproxy.calls import Headers, Request
from llmproxy.errors import ClientError
from llmproxy.operations import MESSAGES, OPAQUE, RESPONSES, Dialect, Route
from llmproxy.operations.table import METHODS
from llmproxy.protocols import Downstream, Receive, Scope, Send
from llmproxy.routing import Pool
from llmproxy.rules.names import WILDCARD
from llmproxy.rules.paths import dialect_of


class LocalAnswer(msgspec.Struct, frozen=True):
    """A small, complete answer of ours."""

    status: int
    headers: Headers
    body: bytes

    def send(self, client: Downstream) -> None:
        """Write it to the client."""
        client.start(self.status, self.headers, length=len(self.body))
        client.write(self.body)
        client.finish()


def local_answer(
    request: Request, route: Route, pool: Pool, *, started_at: int
) -> LocalAnswer | None:
    """Return the answer that needs no endpoint; None if the request must be forwarded.

    `started_at`: Unix seconds, shown as `created` of the models. Raises ClientError (404, 405).
    """
    _check_method(request, route)
    if request.method == "OPTIONS":
        allowed = ", ".join(METHODS).encode("ascii")
        return LocalAnswer(204, [(b"allow", allowed)], b"")
    if request.method not in route.operation.answered_here:
        return None
    _, _, rest = route.path.partition("/")
    names = [name for name in pool.names if "*" not in name]
    if not rest:
        if not names and WILDCARD in pool.groups:
            return None  # with "*" alone, the models are those of the endpoints
        return _json(dialect_read_by(request).model_list(names, started_at))
    model = unquote(rest)
    group = pool.group_named(model)
    if group is not None:
        if group is pool.groups.get(WILDCARD):
            return None  # its endpoints know
        return _json(dialect_read_by(request).model(model, started_at))
    raise pool.unknown(model)


def dialect_read_by(request: Request) -> Dialect:
    """Return the dialect of a path, or of the clients that send such a request. Never raises."""
    if (dialect := dialect_of(request.path)) is not OPAQUE:
        return dialect
    if any(name == b"anthropic-version" for name, _ in request.headers):
        return MESSAGES
    return RESPONSES if request.query.find(b"client_version=") >= 0 else OPAQUE  # Codex


def browser_refused() -> ClientError:
    """Return the error for a browser, where nothing checks which page sent the request."""
    return ClientError(
        "A browser sent this request, and this proxy serves none: "
        "it has no `llmproxy.batteries.web_pages`.",
        status=403,
        code="origin_not_allowed",
    )


def _check_method(request: Request, route: Route) -> None:
    if request.method not in route.operation.methods:
        raise ClientError(
            f"Not allowed to {request.method} on /v1/{route.path}.",
            status=405,
            code="method_not_allowed",
        )


def _json(value: object) -> LocalAnswer:
    return LocalAnswer(200, [(b"content-type", b"application/json")], msgspec.json.encode(value))


async def no_admin(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer the operator's paths where no admin application is installed: /livez, else 404."""
    alive = scope["raw_path"] == b"/livez"
    body = b'{"status":"alive"}' if alive else b'{"detail":"Not Found"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    status = 200 if alive else 404
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
