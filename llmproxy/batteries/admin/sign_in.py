"""`/admin/sign_in`: operators sign in at the issuer that the config names (OpenID Connect)."""

from __future__ import annotations

import re
from time import time
from typing import TYPE_CHECKING, Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from llmproxy.batteries.admin.audit import REFUSED, address_of, audit
from llmproxy.batteries.admin.auth import count_guess, refuse_guesser
from llmproxy.batteries.admin.people import AdminRole, Person
from llmproxy.batteries.admin.sessions import (
    COOKIE,
    content_of,
    cookie_of,
    is_https,
    is_session_cookie,
    session_cookie,
    sign_in_key,
)
from llmproxy.batteries.oidc import BegunSignIn, Oidc, SignedIn, SignInFailed
from llmproxy.batteries.settings import FullSettings, SignIn, full

if TYPE_CHECKING:
    from llmproxy.batteries.keys import Keys
    from llmproxy.runtime import LiveConfig

ATTEMPT_COOKIE = "llmproxy_sign_in"
ATTEMPT_S = 600
PATH = "/admin/sign_in"
# A page of the dashboard, with its query: nothing that leads to another site.
PAGE = re.compile(r"dashboard(/[a-z_]*)?(\?[A-Za-z0-9_.~%=&:,+*@-]*)?", re.ASCII)
MAX_CHARS = 2_000
Text = Annotated[str, Query(max_length=MAX_CHARS)]


class Returned:
    """What the browser brings back from the issuer."""

    def __init__(
        self,
        *,
        state: Text = "",
        code: Text = "",
        error: Text = "",
        error_description: Text = "",
        iss: Annotated[str | None, Query(max_length=MAX_CHARS)] = None,
    ) -> None:
        self.state = state
        self.code = code
        self.why_not = f"{error!a}: {error_description!a}" if error else None
        self.issuer = iss


def sign_in_routes(live: LiveConfig, oidc: Oidc, keys: Keys | None) -> APIRouter:
    """Return the routes, which need no role. `keys`: knows the members of teams; None = nobody."""
    router = APIRouter(prefix=PATH)

    @router.get("", include_in_schema=False)
    async def begin(
        request: Request,
        next: Annotated[str, Query(max_length=MAX_CHARS, description="a page")] = "dashboard",
    ) -> Response:
        """Send the browser to the issuer."""
        settings = full(live.runtime.config.general_settings)
        sign_in = settings.sign_in
        if sign_in is None:
            return _not_configured()
        page = next if PAGE.fullmatch(next) else "dashboard"
        redirect_uri = f"{_own_url(request, sign_in)}{PATH}/callback"
        issuer = oidc.issuer_of(sign_in)
        try:
            url, attempt = await oidc.code_flow.begin(sign_in, issuer, redirect_uri, page)
        except SignInFailed as error:
            return PlainTextResponse(str(error), 503)
        answer = RedirectResponse(url, 303)
        content = msgspec.json.encode(attempt)
        cookie = session_cookie(_attempt_key(settings), int(time()) + ATTEMPT_S, content)
        _set_cookie(answer, request, ATTEMPT_COOKIE, (cookie, ATTEMPT_S), PATH)
        return answer

    @router.get("/callback", include_in_schema=False)
    async def callback(request: Request, returned: Annotated[Returned, Depends()]) -> Response:
        """Take the browser back from the issuer, signed in."""
        settings = full(live.runtime.config.general_settings)
        sign_in = settings.sign_in
        if sign_in is None:
            return _not_configured()
        refuse_guesser(request)  # each is a row of the audit, and a question to the issuer
        try:
            attempt = _attempt(request, settings)
            found = await _finished(oidc, sign_in, attempt, returned, keys)
        except SignInFailed as failed:
            answer = _refused(request, failed)
        else:
            person = Person(found.name, AdminRole(found.role), found.team)
            _note(request, person)
            answer = RedirectResponse(f"../../{attempt.page}", 303)
            _set_cookie(answer, request, COOKIE, cookie_of(person, settings), "/admin")
        answer.delete_cookie(ATTEMPT_COOKIE, path=PATH, httponly=True, samesite="lax")
        return answer

    return router


def _note(request: Request, person: Person) -> None:
    """Note that somebody has signed in."""
    request.state.person = person
    request.app.state.wrong_keys.forget(address_of(request) or "")
    audit(request, "sign_in", person.name)


def _refused(request: Request, failed: SignInFailed) -> Response:
    """Note that somebody could not sign in, and return the answer."""
    count_guess(request)
    audit(request, REFUSED, after={"why": str(failed)})
    return PlainTextResponse(f"{failed} The dashboard is at /dashboard.", 403)


async def _finished(
    oidc: Oidc, sign_in: SignIn, attempt: BegunSignIn, returned: Returned, keys: Keys | None
) -> SignedIn:
    if returned.why_not is not None:
        raise SignInFailed(f"{sign_in.issuer} did not sign you in: {returned.why_not}.")
    if returned.issuer not in (None, sign_in.issuer):
        raise SignInFailed("The code is of another issuer (iss). Begin again.")

    async def team_of(people: tuple[str, ...]) -> str | None:
        from llmproxy.batteries.store import StoreUnavailable  # noqa: PLC0415 - may be missing

        try:
            return None if keys is None else await keys.team_of_member(people)
        except StoreUnavailable as error:
            raise SignInFailed(f"The members of teams cannot be read: {error}") from error

    return await oidc.code_flow.finish(
        sign_in,
        oidc.issuer_of(sign_in),
        attempt,
        state=returned.state,
        code=returned.code,
        team_of=team_of,
    )


def _not_configured() -> Response:
    return PlainTextResponse("This proxy has no sign_in. Use a key at /dashboard.", 404)


def _attempt(request: Request, settings: FullSettings) -> BegunSignIn:
    """Return what this browser has begun. Raises SignInFailed if it has not, or long ago."""
    cookie = request.cookies.get(ATTEMPT_COOKIE, "")
    if not is_session_cookie(cookie, _attempt_key(settings), time()):
        raise SignInFailed("This browser has not begun to sign in, or too long ago. Begin again.")
    return msgspec.json.decode(content_of(cookie), type=BegunSignIn)


def _attempt_key(settings: FullSettings) -> bytes:
    return sign_in_key(settings, "attempt")


def _own_url(request: Request, sign_in: SignIn) -> str:
    """Return where the browser finds this proxy. The issuer accepts only addresses it knows."""
    if sign_in.public_url is not None:
        return sign_in.public_url.rstrip("/")
    scheme = "https" if is_https(request) else "http"
    return f"{scheme}://{request.headers.get('host', '')}"


def _set_cookie(
    answer: Response, request: Request, name: str, value: tuple[str, int], path: str
) -> None:
    # Lax: the browser comes from the issuer's site, and is to have the cookie at once.
    answer.set_cookie(
        name,
        *value,
        path=path,
        secure=is_https(request),
        httponly=True,
        samesite="lax",
    )
