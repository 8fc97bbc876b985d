"""The application: it answers every parsed request, with an error if need be.

The server calls `serve` for the data plane. All other paths belong to the admin application.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from time import monotonic, time

from llmproxy.app.local import (
    LocalAnswer,
    browser_refused,
    dialect_read_by,
    local_answer,
    no_admin,
)
from llmproxy.app.rendering import send_error
from llmproxy.calls import Headers, Request, TraceContext
from llmproxy.config import GeneralSettings
from llmproxy.errors import (
    SHUTTING_DOWN,
    Blame,
    ClientError,
    CredentialRejected,
    GatewayError,
    QuotaExhausted,
    ShuttingDown,
    Throttled,
    UpstreamError,
)
from llmproxy.events import CallFinished
from llmproxy.frames import forget_frames
from llmproxy.gateway import answer
from llmproxy.pipeline.intake import not_found
from llmproxy.protocols import ASGIApp, Client, Downstream, Receive, Scope, Send, WebPages
from llmproxy.record import CallRecord, RequestSummary
from llmproxy.rules.paths import route_of
from llmproxy.runtime import LiveConfig, Runtime

logger = logging.getLogger("llmproxy")

# The first segments of the paths of the admin application; the rest is the data plane.
CONTROL_PATHS = frozenset(
    (
        *(b"", b"livez", b"readyz", b"health", b"metrics", b"admin", b"dashboard"),
        *(b"docs", b"openapi.json", b"favicon.ico"),
    )
)

# Serves a request to speak another protocol, or raises a GatewayError.
Upgrade = Callable[[Request, Runtime, Client, CallRecord], Awaitable[None]]
# Returns a request of another gateway's client as ours has it, and the client to answer through.
Adapt = Callable[[Request, Client, CallRecord], tuple[Request, Client]]
# What settings ask for: an Adapt, and more CONTROL_PATHS, those below /v1/ whole.
Habits = Callable[[GeneralSettings], tuple[Adapt | None, Collection[bytes]]]


class App:
    """Serves calls with the current Runtime. As an ASGI application: the operator's paths.

    `admin`: serves the operator's paths; None = not installed. `web_pages`: None = browsers are not
    served. `trace_of`: finds a call's place in a trace from its headers; None = calls are not
    traced. `upgrade`: serves WebSockets; None = not installed. `habits`: another gateway's.
    """

    def __init__(
        self,
        live: LiveConfig,
        admin: ASGIApp | None = None,
        *,
        web_pages: WebPages | None = None,
        trace_of: Callable[[Headers], TraceContext | None] | None = None,
        upgrade: Upgrade | None = None,
        habits: Habits | None = None,
    ) -> None:
        self.live = live
        self._admin = admin or no_admin
        self._web_pages = web_pages
        self._trace_of = trace_of
        self._upgrade = upgrade
        self._habits = habits or (lambda _: (None, ()))
        self._started_at = int(time())
        self._adopt_settings()
        live.on_change.append(self._adopt_settings)

    def _adopt_settings(self) -> None:
        """Copy the settings that the server reads for each connection or request."""
        settings = self.live.runtime.config.general_settings
        self.timeouts = settings.timeouts
        self.max_body_bytes = settings.max_body_bytes
        self.max_header_bytes = settings.max_header_bytes
        if self._web_pages is not None:
            self._web_pages.adopt(settings)
        self._adapt, more = self._habits(settings)
        self._control_paths = CONTROL_PATHS.union(more)

    def listens_at(self, addresses: Iterable[str]) -> None:
        """Note the addresses that the server listens at, before the first request."""
        if self._web_pages is not None:
            self._web_pages.listens_at(addresses)

    def is_control_path(self, path: bytes) -> bool:
        """Return whether a path belongs to the admin application."""
        if path.startswith(b"/v1/"):
            return path in self._control_paths
        return path.lstrip(b"/").partition(b"/")[0] in self._control_paths

    async def serve(
        self, request: Request, client: Client, refusal: ClientError | None = None
    ) -> None:
        """Answer one request of the data plane. Raises nothing but CancelledError.

        `refusal`: what the server already found wrong with it.
        """
        runtime = self.live.runtime
        runtime.calls += 1
        line = f"{request.method} {request.path.decode('latin-1')}"
        record = CallRecord(RequestSummary(line, request.client, request.received_at))
        if self._trace_of is not None:
            record.request.trace = self._trace_of(request.headers)
        try:
            preflight = None
            if self._web_pages is not None:
                client, preflight = self._web_pages.admit(request, client)
            elif request.from_browser:
                raise browser_refused()
            if refusal is not None:
                if refusal.status != 426 or self._upgrade is None:
                    raise refusal
                await self._upgrade(request, runtime, client, record)
                return
            if self._adapt is not None:
                request, client = self._adapt(request, client, record)
            local = (
                self._identified(request, runtime, record)
                if preflight is None
                else LocalAnswer(204, preflight, b"")
            )
            if local is None:
                await answer(request, runtime, client, record)
            else:
                record.answer.status = local.status
                local.send(client)
        except GatewayError as error:
            _end_with(error, request, client, record)
        except asyncio.CancelledError:
            _end_cancelled(request, client, record)
            raise
        except Exception:  # the outermost frame: nothing may escape, and no client may hang
            logger.exception("A bug in the proxy ended a call.")
            _end_with_bug(request, client, record)
        finally:
            runtime.calls -= 1
            _finish(record, runtime)

    def _identified(
        self, request: Request, runtime: Runtime, record: CallRecord
    ) -> LocalAnswer | None:
        """Find out who calls. Return the answer if it needs no endpoint, as the list of models."""
        runtime.callers.identify(request.headers, record.request, request.proven_names)
        if request.method == "POST":
            return None
        route = route_of(request.path, request.method)
        if route is None:
            raise not_found(request)
        pool = runtime.callers.pool_of(record.request.caller)
        return local_answer(request, route, pool, started_at=self._started_at)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a path of the admin application."""
        await self._admin(scope, receive, send)


def _finish(record: CallRecord, runtime: Runtime) -> None:
    """Report that a call is over."""
    if (price_call := runtime.resources.price_call) is not None:
        record.cost = price_call(record)
    if record.limit_headers is not None:
        record.limit_headers = None  # sent; what is kept of calls should be small
    now = monotonic()
    received_at, first_byte_at = record.request.received_at, record.answer.first_byte_at
    total_s = now - received_at
    first_byte_s = None if first_byte_at is None else first_byte_at - received_at
    before_first_byte_s = total_s if first_byte_s is None else first_byte_s
    overhead_s = max(0.0, before_first_byte_s - record.waited_s)
    runtime.listener.call_finished(CallFinished(record, time(), total_s, first_byte_s, overhead_s))


def _end_with(
    error: GatewayError, request: Request, client: Downstream, record: CallRecord
) -> None:
    record.answer.error, record.answer.error_source = _label(error), _blame(error, record)
    if not client.started:
        send_error(client, error, record, dialect_read_by(request))
    elif not record.answer.status:
        record.answer.status = 200  # a heartbeat's
    forget_frames(error)


def _end_cancelled(request: Request, client: Downstream, record: CallRecord) -> None:
    if not client.connected:
        record.client_left()
        return
    going = ShuttingDown(SHUTTING_DOWN, retry_after_s=1)
    record.answer.error, record.answer.error_source = going.code, going.blame
    if not client.started:
        send_error(client, going, record, dialect_read_by(request))


def _end_with_bug(request: Request, client: Downstream, record: CallRecord) -> None:
    record.answer.error, record.answer.error_source = "internal_error", "proxy"
    if client.started:
        client.abort()
    else:
        message = "The proxy failed on this call; see its log for details."
        bug = GatewayError(message, code="internal_error")
        send_error(client, bug, record, dialect_read_by(request))


def _blame(error: GatewayError, record: CallRecord) -> Blame:
    """Return whose trouble an error is; a refusal of the client's own key is the client's."""
    refusals = CredentialRejected | QuotaExhausted | Throttled
    return "client" if record.key_origin and isinstance(error, refusals) else error.blame


def _label(error: GatewayError) -> str:
    """Return a short name for the log: our error code, or the kind of an endpoint's refusal."""
    if isinstance(error, UpstreamError) and error.answer is not None:
        return error.reason
    return error.code or error.kind
