"""Serves requests to upgrade, or tells the client to go on over HTTP."""

from __future__ import annotations

from time import monotonic

from llmproxy.calls import Request
from llmproxy.errors import ClientError, GatewayError
from llmproxy.protocols import Client
from llmproxy.record import CallRecord
from llmproxy.rules.paths import route_of
from llmproxy.runtime import Runtime

REALTIME, RESPONSES = "realtime", "responses"
# How long a client of Responses goes on over HTTP after its group could not serve its session.
OVER_HTTP_S = 300.0
MAX_OVER_HTTP = 10_000


class WebSockets:
    """Serves the sessions of a process. Implements `Upgrade` of the app.

    `_over_http`: until when a client, by caller and address, is to go on over HTTP. Only its first
    message names the model, so it cannot be refused before that.
    """

    def __init__(self) -> None:
        self._over_http: dict[tuple[str | None, str], float] = {}

    async def __call__(
        self, request: Request, runtime: Runtime, client: Client, record: CallRecord
    ) -> None:
        """Serve one session, from the request to its end. Raises a GatewayError."""
        route = route_of(request.path, "GET")
        if route is None or route.path not in (REALTIME, RESPONSES):
            raise _over_http("There are no WebSockets at this path")
        # The first session imports the library, unless the start has done so (preloading.py).
        from llmproxy.batteries.websockets.offer import Handshake, offer_of  # noqa: PLC0415
        from llmproxy.batteries.websockets.opening import Opening, speaks_none  # noqa: PLC0415

        offer = offer_of(request)
        handshake = Handshake(request, runtime.config.general_settings.max_body_bytes)
        sent = offer.request
        runtime.callers.identify(sent.headers, record.request, sent.proven_names)
        opening = Opening(offer, handshake, runtime, client, record)
        if route.path == REALTIME or offer.model is not None:
            await opening.at_once()
            return
        place = record.request.caller, request.client
        if monotonic() < self._over_http.get(place, 0.0):
            raise _over_http("The endpoints of the model group serve no WebSockets")
        try:
            await opening.after_first_message()
        except GatewayError as error:
            if speaks_none(error):
                if len(self._over_http) >= MAX_OVER_HTTP:
                    self._over_http.clear()
                self._over_http[place] = monotonic() + OVER_HTTP_S
            raise


def _over_http(why: str) -> ClientError:
    return ClientError(f"{why}: go on over HTTP.", status=426, code="upgrade_not_supported")
