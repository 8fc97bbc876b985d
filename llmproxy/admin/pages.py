"""`/dashboard`: the operator's page, served from files of this package.

The files hold nothing secret and are the same for everybody: what the page shows comes from
`/admin`, which asks who it is. Nothing is loaded from elsewhere, and nothing inline is run.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from msgspec import Struct

PAGE = "page.html"
FOLDER = Path(__file__).with_name("dashboard")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class File(Struct, frozen=True):
    """A file as it is sent: its bytes, and the headers that go with them."""

    body: bytes
    headers: dict[str, str]


def dashboard_routes() -> APIRouter:
    """`/dashboard` and its files, read once."""
    files = {path.name: _read(path) for path in FOLDER.iterdir() if path.suffix in TYPES}
    router = APIRouter(include_in_schema=False)

    @router.get("/dashboard")
    async def page(request: Request) -> Response:
        return _sent(files[PAGE], request)

    @router.get("/dashboard/{name}")
    async def file(name: str, request: Request) -> Response:
        if name not in files or name == PAGE:
            raise HTTPException(404, f"The dashboard has no file {name!r}.")
        return _sent(files[name], request)

    return router


def _read(path: Path) -> File:
    body = path.read_bytes()
    return File(
        body,
        {
            "content-type": TYPES[path.suffix],
            "etag": f'"{sha256(body).hexdigest()[:32]}"',
            "cache-control": "no-cache",  # kept, but asked for: an upgrade shows at once
            "content-security-policy": POLICY,
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        },
    )


def _sent(file: File, request: Request) -> Response:
    known = request.headers.get("if-none-match", "")
    if file.headers["etag"] in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=file.headers)
    return Response(file.body, headers=file.headers)
