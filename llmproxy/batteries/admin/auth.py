"""Authentication for `/admin`: a key of somebody who has a role, or a session cookie that browsers
get for it.

Without a configured key, only programs on this machine have access, and those that send the token
that the proxy printed at its start. Cross-site requests are rejected, wrong keys are slowed down.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from math import ceil
from secrets import token_hex
from time import monotonic, time
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from llmproxy.batteries.addresses import host_name, is_loopback, is_this_machine
from llmproxy.batteries.admin.audit import REFUSED, address_of, audit
from llmproxy.batteries.admin.guessing import WrongKeys
from llmproxy.batteries.admin.people import (
    OPERATOR,
    AdminRole,
    Person,
    digest_of,
    is_open,
    people_of,
)
from llmproxy.batteries.admin.process_family import (
    ENDED_SESSIONS,
    MARK_BYTES,
    STARTED_AT,
)
from llmproxy.batteries.settings import FullSettings, full

if TYPE_CHECKING:
    from llmproxy.runtime import LiveConfig

logger = logging.getLogger("llmproxy")

# What a proxy in front adds to a request.
FORWARDED = ("forwarded", "via", "x-real-ip")
FORWARDED_PREFIX = "x-forwarded-"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
COOKIE = "llmproxy_session"
SESSION_S = 12 * 3600


class Me(BaseModel):
    """Who is signed in. `team`: the only team that the role `team` sees."""

    name: str
    role: AdminRole
    team: str | None


class LoginRequest(BaseModel):
    """The admin key or an operator's key, as the login form sends it."""

    key: str


class SessionInfo(BaseModel):
    """`protected`: a key is configured. `signed_in`: the client has access to `/admin`."""

    protected: bool
    signed_in: bool


def require(role: AdminRole) -> Callable[[Request], Awaitable[Person]]:
    """Return a FastAPI dependency that lets people of a role through, and yields who it is.

    It raises a 401 without a key, a 429 after wrong ones, and a 403 for another role. It raises a
    403 for other machines if no key is configured, and for requests that another site's page sends.
    """
    return DOORS[role]


async def by_method(request: Request) -> None:
    """Let through who may: as a route says itself by `require`; else viewers may read, and admins
    may change."""
    if role_of(request.scope["route"]) is None:
        _check(request, AdminRole.VIEWER if request.method in SAFE_METHODS else AdminRole.ADMIN)


def role_of(route: APIRoute) -> AdminRole | None:
    """Return the role that a route requires itself; None = it does not say."""
    calls = [one.call for one in route.dependant.dependencies]
    return next((role for role, door in DOORS.items() if door in calls), None)


def own_team(person: Person, asked: str | None) -> str | None:
    """Return the team that an answer is restricted to; None = all. `asked`: what the query says.

    Raises a 403 if somebody who sees one team asks for another.
    """
    if person.role is not AdminRole.TEAM:
        return asked
    if asked not in (None, person.team):
        raise HTTPException(403, f"You see the team {person.team!r} only.")
    return person.team


def person_of(request: Request) -> Person | None:
    """Return who sent a request; None = nobody who is known. Raises a 429 after wrong keys."""
    if not hasattr(request.state, "person"):
        live: LiveConfig = request.app.state.live
        settings = full(live.runtime.config.general_settings)
        if is_open(settings) and _is_this_machine(request):
            request.state.person = OPERATOR
        else:
            request.state.person = _authenticated(request, settings)
    person: Person | None = request.state.person
    return person


def _door(role: AdminRole) -> Callable[[Request], Awaitable[Person]]:
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
        raise HTTPException(403, f"This needs the role {role}; {person.name} has {has}.")
    return person


def _nobody(live: LiveConfig) -> HTTPException:
    settings = full(live.runtime.config.general_settings)
    if is_open(settings):
        return HTTPException(
            403,
            "Without a key, /admin is open to this machine only, and to no request that came "
            "through a proxy. Set general_settings.admin_key, and send it as "
            "'Authorization: Bearer KEY'; until then, the token that the proxy printed at its "
            "start is accepted in its place.",
        )
    key = (
        "the proxy's admin_key, or an operator's key,"
        if settings.operators
        else ("the proxy's admin_key")
    )
    return HTTPException(
        401, f"Send {key} as 'Authorization: Bearer KEY'.", {"www-authenticate": "Bearer"}
    )


DOORS = {role: _door(role) for role in AdminRole}
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
        protected = not is_open(full(live.runtime.config.general_settings))
        return SessionInfo(protected=protected, signed_in=person_of(request) is not None)

    @router.get("/me")
    async def me(person: Member) -> Me:
        """Return who is signed in, and as what."""
        return Me(name=person.name, role=person.role, team=person.team)

    @router.post("/login", status_code=204)
    async def login(form: LoginRequest, request: Request, response: Response) -> None:
        """Exchange the admin key, or an operator's key, for a session cookie."""
        settings = full(live.runtime.config.general_settings)
        if is_open(settings) and _is_this_machine(request):
            return
        person = _owner_of(form.key, settings, request)
        if person is None:
            raise HTTPException(401, "That is not the admin_key of this proxy.")
        request.state.person = person
        audit(request, "sign_in", person.name)
        response.set_cookie(
            COOKIE,
            session_cookie(digest_of(form.key), int(time()) + SESSION_S),
            max_age=SESSION_S,
            path="/admin",
            secure=_is_https(request),
            httponly=True,
            samesite="strict",
        )

    @router.post("/logout", status_code=204)
    async def logout(request: Request, response: Response) -> None:
        """End the session, also for copies of its cookie, and delete the cookie."""
        cookie = request.cookies.get(COOKIE, "")
        person = _signed_in(cookie, full(live.runtime.config.general_settings))
        if person is not None:
            ENDED_SESSIONS.add(_mark_of(cookie))
            request.state.person = person
            audit(request, "sign_out", person.name)
        response.delete_cookie(COOKIE, path="/admin", httponly=True, samesite="strict")

    return router


def session_cookie(digest: bytes, until: int) -> str:
    """Return a new cookie that is valid until a Unix time: that time, a nonce, and their HMAC.

    `digest`: of the key that was sent, which is all that says whose session it is. It carries its
    own proof, so every worker and instance accepts it. A new key of this person ends the session.
    So does a restart, because the list of sessions that have signed out is lost.
    """
    session = f"{until}-{token_hex(8)}"
    return f"{session}.{_signature(session, digest)}"


def is_session_cookie(cookie: str, digest: bytes, now: float) -> bool:
    """Return whether a cookie was made with this key and has not expired."""
    session, _, signature = cookie.partition(".")
    if not compare_digest(signature.encode(), _signature(session, digest).encode()):
        return False
    return now < _ends_at(session)


def _signature(session: str, digest: bytes) -> str:
    return hmac_digest(digest, session.encode(), "sha256").hex()


def _ends_at(session: str) -> int:
    return int(session.partition("-")[0])


def _mark_of(cookie: str) -> bytes:
    return sha256(cookie.encode()).digest()[:MARK_BYTES]


def _authenticated(request: Request, settings: FullSettings) -> Person | None:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _owner_of(credential.strip(), settings, request)
    cookie = request.cookies.get(COOKIE, "")
    person = _signed_in(cookie, settings)
    if person is None or _mark_of(cookie) in ENDED_SESSIONS:
        return None
    return person if _ends_at(cookie) - SESSION_S >= STARTED_AT else None


def _signed_in(cookie: str, settings: FullSettings) -> Person | None:
    """Return whose session a cookie is of; it may have been ended."""
    now = time()
    people = people_of(settings)
    return next((person for key, person in people if is_session_cookie(cookie, key, now)), None)


def _owner_of(key: str, settings: FullSettings, request: Request) -> Person | None:
    """Return whose key a client sent; None = nobody's. Raises a 429 without looking at it if its
    address has to wait after wrong ones."""
    address = address_of(request) or ""
    now = monotonic()
    wrong_keys: WrongKeys = request.app.state.wrong_keys
    pause_s = wrong_keys.pause_s(address, now)
    if pause_s > 0:
        raise HTTPException(
            429,
            f"Too many wrong keys came from this address. Try again in {pause_s:.1f} s.",
            {"retry-after": str(ceil(pause_s))},
        )
    digest = digest_of(key)
    for known, person in people_of(settings):
        if compare_digest(digest, known):
            wrong_keys.forget(address)
            return person
    tries = wrong_keys.count(address, now)
    logger.warning("A wrong key was sent to /admin from %s (%d in a row).", address, tries)
    audit(request, REFUSED, after={"wrong_keys_in_a_row": tries})
    return None


def _is_this_machine(request: Request) -> bool:
    """Return whether a program on this machine sent the request.

    Neither may a proxy have forwarded it (nginx speaks HTTP/1.0 and adds nothing by default), nor a
    browser whose page resolves its own name to this machine (DNS rebinding).
    """
    peer = request.client.host if request.client else ""
    name = host_name(request.headers.get("host", "").encode("latin-1"))
    if not (is_loopback(peer) and is_this_machine(name)):
        return False
    return request.scope["http_version"] != "1.0" and not any(
        header in FORWARDED or header.startswith(FORWARDED_PREFIX) for header in request.headers
    )


def _is_https(request: Request) -> bool:
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
