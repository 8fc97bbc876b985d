"""Authentication for `/admin`: a key of somebody who has a role, or a session cookie that browsers
get for it.

Without a configured key, only programs on this machine have access, and those that send the token
that the proxy printed at its start. Cross-site requests are rejected, wrong keys are slowed down.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from math import ceil
from time import monotonic, time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from llmproxy.batteries.addresses import host_name, is_loopback, is_this_machine
from llmproxy.batteries.admin.audit import REFUSED, address_of, audit
from llmproxy.batteries.admin.guessing import WrongKeys
from llmproxy.batteries.admin.people import (
    ADMIN_KEY_HOLDER,
    AdminRole,
    Person,
    digest_of,
    people_of,
)
from llmproxy.batteries.admin.process_family import (
    ENDED_SESSIONS,
    STARTED_AT,
)
from llmproxy.batteries.admin.sessions import (
    COOKIE,
    SESSION_S,
    began_at,
    is_https,
    key_of_session,
    mark_of,
    person_of_session,
    session_cookie,
)
from llmproxy.batteries.settings import FullSettings, full

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

logger = logging.getLogger("llmproxy")

# Clients of a UNIX socket that are trusted as those of this machine (`front/connection.py`).
OUR_USERS = frozenset(("uid:0", f"uid:{os.getuid()}"))
# What a proxy in front adds to a request.
FORWARDED = ("forwarded", "via", "x-real-ip")
FORWARDED_PREFIX = "x-forwarded-"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Me(BaseModel):
    """Who is signed in. `team`: the only team that the role `team` sees."""

    name: str
    role: AdminRole
    team: str | None


class LoginRequest(BaseModel):
    """The admin key or an operator's key, as the login form sends it."""

    key: str


class SessionInfo(BaseModel):
    """`protected`: a key is configured. `signed_in`: the client has access to `/admin`.

    `sign_in`: `/admin/sign_in` leads to an issuer.
    """

    protected: bool
    signed_in: bool
    sign_in: bool


def require(role: AdminRole) -> Callable[[Request], Awaitable[Person]]:
    """Return a FastAPI dependency that lets people of a role through, and yields who it is.

    It raises a 401 without a key, a 429 after wrong ones, and a 403 for another role. It raises a
    403 for other machines if no key is configured, and for requests that another site's page sends.
    """
    return CHECKS[role]


async def by_method(request: Request) -> None:
    """Let through who may: as a route says itself by `require`; else viewers may read, and admins
    may change."""
    if role_of(request.scope["route"]) is None:
        _check(request, AdminRole.VIEWER if request.method in SAFE_METHODS else AdminRole.ADMIN)


async def metrics_reader(request: Request) -> None:
    """Let through everybody, or only viewers if `metrics_need_key` says so."""
    live: LiveConfig = request.app.state.live
    if full(live.runtime.config.general_settings).metrics_need_key:
        _check(request, AdminRole.VIEWER)


def role_of(route: APIRoute) -> AdminRole | None:
    """Return the role that a route requires itself; None = it does not say."""
    calls = [one.call for one in route.dependant.dependencies]
    return next((role for role, check in CHECKS.items() if check in calls), None)


def own_team(person: Person, asked: str | None) -> str | None:
    """Return the team that an answer is restricted to; None = all. `asked`: what the query says.

    Raises a 403 if somebody who sees one team asks for another.
    """
    if person.role is not AdminRole.TEAM:
        return asked
    if asked not in (None, person.team):
        raise HTTPException(403, f"You see the team {person.team!r} only. Leave `team` out.")
    return person.team


def person_of(request: Request) -> Person | None:
    """Return who sent a request; None = nobody who is known. Raises a 429 after wrong keys."""
    if not hasattr(request.state, "person"):
        live: LiveConfig = request.app.state.live
        settings = full(live.runtime.config.general_settings)
        if settings.admin_is_open and _is_this_machine(request):
            request.state.person = ADMIN_KEY_HOLDER
        else:
            request.state.person = _authenticated(request, settings)
    person: Person | None = request.state.person
    return person


def _check_for(role: AdminRole) -> Callable[[Request], Awaitable[Person]]:
    async def check(request: Request) -> Person:
        return _check(request, role)

    return check


def _check(request: Request, role: AdminRole) -> Person:
    reject_cross_site(request)
    person = person_of(request)
    if person is None:
        raise _nobody(request.app.state.live)
    if not person.role.includes(role):
        has = person.role if person.team is None else f"{person.role} {person.team}"
        raise HTTPException(
            403,
            f"This needs the role {role}; {person.name} has {has}. Ask an admin to do it, or for "
            "that role.",
        )
    return person


def _nobody(live: LiveConfig) -> HTTPException:
    settings = full(live.runtime.config.general_settings)
    if settings.admin_is_open:
        return HTTPException(
            403,
            "Without a key, /admin is open to this machine only, and to no request that came "
            "through a proxy. Set general_settings.admin_key, and send it as "
            "'Authorization: Bearer KEY'; until then, the token that the proxy printed at its "
            "start is accepted in its place.",
        )
    ways = [
        *(["the proxy's admin_key"] if settings.admin_key is not None else []),
        *(["an operator's key"] if settings.operators else []),
    ]
    send = f"Send {' or '.join(ways)} as 'Authorization: Bearer KEY'." if ways else ""
    sign_in = "Sign in at /admin/sign_in with a browser." if settings.sign_in is not None else ""
    return HTTPException(401, f"{send} {sign_in}".strip(), {"www-authenticate": "Bearer"})


CHECKS = {role: _check_for(role) for role in AdminRole}
# What a route takes as a parameter: who it is, with at least this role.
Member = Annotated[Person, Depends(require(AdminRole.TEAM))]
Viewer = Annotated[Person, Depends(require(AdminRole.VIEWER))]
Admin = Annotated[Person, Depends(require(AdminRole.ADMIN))]


def reject_cross_site(request: Request) -> None:
    """Raise a 403 if another site's page sends a request that may change something (CSRF)."""
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "").lower()
    own = origin is None or origin.partition("://")[2] == request.headers.get("host", "")
    if not own or site in ("cross-site", "same-site"):
        page = origin or "which the browser does not name"
        raise HTTPException(403, f"Requests from another site ({page}) are not allowed.")


def session_routes(live: LiveConfig) -> APIRouter:
    """Return `/admin/session`, `/admin/login` and `/admin/logout`, which need no key, and
    `/admin/me`."""
    router = APIRouter(prefix="/admin", dependencies=[Depends(reject_cross_site)])

    @router.get("/session")
    async def session(request: Request) -> SessionInfo:
        """Return whether a key is needed, and whether the client is signed in."""
        settings = full(live.runtime.config.general_settings)
        return SessionInfo(
            protected=not settings.admin_is_open,
            signed_in=person_of(request) is not None,
            sign_in=settings.sign_in is not None,
        )

    @router.get("/me")
    async def me(person: Member) -> Me:
        """Return who is signed in, and as what."""
        return Me(name=person.name, role=person.role, team=person.team)

    _add_login(router, live)
    return router


def _add_login(router: APIRouter, live: LiveConfig) -> None:
    """Add signing in by a key, and signing out."""

    @router.post("/login", status_code=204)
    async def login(form: LoginRequest, request: Request, response: Response) -> None:
        """Exchange the admin key, or an operator's key, for a session cookie."""
        settings = full(live.runtime.config.general_settings)
        if settings.admin_is_open and _is_this_machine(request):
            return
        person = _owner_of(form.key, settings, request)
        if person is None:
            raise HTTPException(
                401,
                "This is neither the admin_key nor the key of an operator. Ask an admin for one.",
            )
        request.state.person = person
        audit(request, "sign_in", person.name)
        response.set_cookie(
            COOKIE,
            session_cookie(key_of_session(digest_of(form.key), settings), int(time()) + SESSION_S),
            max_age=SESSION_S,
            path="/admin",
            secure=is_https(request),
            httponly=True,
            samesite="strict",
        )

    @router.post("/logout", status_code=204)
    async def logout(request: Request, response: Response) -> None:
        """End the session, also for copies of its cookie, and delete the cookie."""
        cookie = request.cookies.get(COOKIE, "")
        person = person_of_session(cookie, full(live.runtime.config.general_settings))
        if person is not None:
            ENDED_SESSIONS.add(mark_of(cookie))
            request.state.person = person
            audit(request, "sign_out", person.name)
        response.delete_cookie(COOKIE, path="/admin", httponly=True, samesite="strict")


def _authenticated(request: Request, settings: FullSettings) -> Person | None:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _owner_of(credential.strip(), settings, request)
    cookie = request.cookies.get(COOKIE, "")
    person = person_of_session(cookie, settings)
    if person is None or mark_of(cookie) in ENDED_SESSIONS:
        return None
    # Those of before the start may have been ended: that list is lost.
    return person if began_at(cookie, settings) >= STARTED_AT else None


def _owner_of(key: str, settings: FullSettings, request: Request) -> Person | None:
    """Return whose key a client sent; None = nobody's. Raises a 429 without looking at it if its
    address has to wait after wrong ones."""
    refuse_guesser(request)
    digest = digest_of(key)
    for known, person in people_of(settings):
        if compare_digest(digest, known):
            request.app.state.wrong_keys.forget(address_of(request) or "")
            return person
    tries = count_guess(request)
    logger.warning(
        "A wrong key was sent to /admin from %s (%d in a row).", address_of(request), tries
    )
    audit(request, REFUSED, after={"wrong_keys_in_a_row": tries})
    return None


def refuse_guesser(request: Request) -> None:
    """Raise a 429 if an address has to wait, because what it sent before was wrong."""
    wrong_keys: WrongKeys = request.app.state.wrong_keys
    pause_s = wrong_keys.pause_s(address_of(request) or "", monotonic())
    if pause_s > 0:
        raise HTTPException(
            429,
            f"Too many wrong keys came from this address. Try again in {pause_s:.1f} s.",
            {"retry-after": str(ceil(pause_s))},
        )


def count_guess(request: Request) -> int:
    """Count something wrong from an address; return how often that was in a row."""
    wrong_keys: WrongKeys = request.app.state.wrong_keys
    return wrong_keys.count(address_of(request) or "", monotonic())


def _is_this_machine(request: Request) -> bool:
    """Return whether a program on this machine sent the request; through a UNIX socket, one of the
    proxy's own user or of root, not the web server in front.

    Neither may a proxy have forwarded it (nginx speaks HTTP/1.0 and adds nothing by default), nor a
    browser whose page resolves its own name to this machine (DNS rebinding).
    """
    peer = request.client.host if request.client else ""
    name = host_name(request.headers.get("host", "").encode("latin-1"))
    if not ((is_loopback(peer) or peer in OUR_USERS) and is_this_machine(name)):
        return False
    return request.scope["http_version"] != "1.0" and not any(
        header in FORWARDED or header.startswith(FORWARDED_PREFIX) for header in request.headers
    )
