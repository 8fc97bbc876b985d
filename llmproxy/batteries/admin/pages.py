"""`/dashboard`: the operator's page, served from the files of this package.

The files hold no secrets and are the same for every visitor: what the page shows comes from
`/admin`, which requires the key. The policy forbids inline code and other hosts.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles

from llmproxy.protocols import ASGIApp, Message, Receive, Scope, Send

PAGE = "page.html"
NAMES = ("calls", "spend", "keys")  # its pages beside the overview, /dashboard/NAME
FOLDER = Path(__file__).with_name("dashboard")
HEADERS = {
    "cache-control": "no-cache",  # browsers revalidate, so an upgrade shows at once
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

# Python 3.11 and some systems' tables say application/javascript.
mimetypes.add_type("text/javascript", ".js")


class SecurityHeaders:
    """Middleware: browsers take an answer for what it says it is, and keep none of `/admin`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        is_private = scope["type"] == "http" and scope["path"].startswith("/admin")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                headers["x-content-type-options"] = "nosniff"
                if is_private:
                    headers["cache-control"] = "no-store"
                message = {**message, "headers": headers.raw}
            await send(message)

        await self._app(scope, receive, send_with_headers)


class DashboardFiles(StaticFiles):
    """Static files with the dashboard's security headers."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """Add the headers to a file, and to a 304."""
        response = super().file_response(*args, **options)
        response.headers.update(HEADERS)
        return response


def dashboard_routes() -> APIRouter:
    """Return the routes of `/dashboard` and its files."""
    files = DashboardFiles(directory=FOLDER)
    text = (FOLDER / PAGE).read_text(encoding="utf-8")
    below = text.replace('="dashboard', '="../dashboard')  # for addresses one level deeper
    router = APIRouter(include_in_schema=False)

    @router.get("/dashboard")
    async def page(request: Request) -> Response:
        return await files.get_response(PAGE, request.scope)

    @router.get("/dashboard/{name}")
    async def file(name: str, request: Request) -> Response:
        if name in NAMES:
            return Response(below, media_type="text/html", headers=HEADERS)
        if name == PAGE:  # its relative links work only at /dashboard
            raise HTTPException(404)
        return await files.get_response(name, request.scope)

    return router
