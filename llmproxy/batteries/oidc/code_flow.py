"""Signing people in by the authorization code flow of OpenID Connect, with PKCE.

The browser is sent to the issuer, and comes back with a code, which is exchanged for an ID token.
`state` ties the way back to the browser that began, `nonce` the token to this sign-in, and the
verifier of PKCE the code to whoever asked for it.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe
from time import time
from urllib.parse import quote, urlencode

import msgspec

from llmproxy.batteries.oidc.claims import Claims, addresses_of, has_value, texts
from llmproxy.batteries.oidc.compact import SignedToken, TokenRefused, take_apart
from llmproxy.batteries.oidc.issuers import Issuer
from llmproxy.batteries.oidc.reading import Unreadable, address_in, exchange, in_thread
from llmproxy.batteries.oidc.verification import UnknownSigner, check_token
from llmproxy.batteries.settings import RoleRule, SignIn

MAX_AT_A_TIME = 8  # exchanges of codes
POLLS, POLL_S = 200, 0.025  # for an issuer that has not been read yet


class SignInFailed(Exception):
    """Somebody could not be signed in. The text says why, and what to do."""


class BegunSignIn(msgspec.Struct, frozen=True):
    """A sign-in that has begun, as the browser's cookie keeps it. `page`: to go on with."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    page: str


class SignedIn(msgspec.Struct, frozen=True):
    """Who has signed in, and as what. `team`: for the role `team`."""

    name: str
    role: str
    team: str | None


# Returns the team that has one of these e-mail addresses and subjects among its members.
TeamOf = Callable[[tuple[str, ...]], Awaitable[str | None]]


class CodeFlow:
    """The sign-ins of a process. They wait for the issuer; calls have no part in it."""

    def __init__(self) -> None:
        self._exchanges = asyncio.Semaphore(MAX_AT_A_TIME)

    async def begin(
        self, settings: SignIn, issuer: Issuer, redirect_uri: str, page: str
    ) -> tuple[str, BegunSignIn]:
        """Return the address to send the browser to, and the attempt. Raises SignInFailed."""
        attempt = BegunSignIn(
            state=token_urlsafe(24),
            nonce=token_urlsafe(24),
            verifier=token_urlsafe(48),
            redirect_uri=redirect_uri,
            page=page,
        )
        where = await _address(issuer, "authorization_endpoint")
        challenge = sha256(attempt.verifier.encode()).digest()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": settings.client_id,
                "redirect_uri": redirect_uri,
                "scope": " ".join(settings.scopes),
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": urlsafe_b64encode(challenge).rstrip(b"=").decode(),
                "code_challenge_method": "S256",
            }
        )
        return f"{where}{'&' if '?' in where else '?'}{query}", attempt

    async def finish(
        self,
        settings: SignIn,
        issuer: Issuer,
        attempt: BegunSignIn,
        *,
        state: str,
        code: str,
        team_of: TeamOf | None = None,
    ) -> SignedIn:
        """Return who has come back with a code. `team_of`: asked if no rule fits.

        Raises SignInFailed.
        """
        if not compare_digest(state.encode(), attempt.state.encode()):
            raise SignInFailed("This is the end of another sign-in. Begin again.")
        token = await self._token(settings, issuer, attempt, code)
        claims = await _claims(token, settings, issuer)
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not compare_digest(nonce, attempt.nonce):
            raise SignInFailed("The ID token is of another sign-in (nonce). Begin again.")
        if claims.get("azp", settings.client_id) != settings.client_id:
            raise SignInFailed("The ID token was made for another client (azp).")
        name, found = name_of(claims, settings), role_of(claims, settings.roles)
        if found is None and team_of is not None:
            team = await team_of(addresses_of(claims))
            found = None if team is None else ("team", team)
        if found is None:
            raise SignInFailed(
                f"{name} has no role here: none of sign_in.roles fits, and no team has this "
                "member. Ask the operator of this proxy."
            )
        return SignedIn(name, *found)

    async def _token(
        self, settings: SignIn, issuer: Issuer, attempt: BegunSignIn, code: str
    ) -> bytes:
        where = await _address(issuer, "token_endpoint")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": attempt.verifier,
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if settings.client_secret is not None:
            secret = settings.client_secret.get_secret_value()
            ways = issuer.addresses.get("token_endpoint_auth_methods_supported")
            if isinstance(ways, list) and "client_secret_basic" not in ways:
                form["client_secret"] = secret
            else:
                pair = f"{quote(settings.client_id, safe='')}:{quote(secret, safe='')}"
                headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        body = urlencode(form).encode()
        try:
            async with self._exchanges:
                answer, _ = await in_thread(lambda: exchange(where, body, **headers))
            token = json.loads(answer)["id_token"]
        except Unreadable as error:
            raise SignInFailed(f"The code was not exchanged: {error}. Begin again.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SignInFailed(f"{where} answered without an id_token.") from error
        return str(token).encode()


def name_of(claims: Claims, settings: SignIn) -> str:
    """Return the name of somebody in the audit. Raises SignInFailed if there is none."""
    name = next(iter(texts(claims, settings.name)), None)
    if name is None:
        raise SignInFailed(f"The ID token has no name ({' or '.join(settings.name)}).")
    return name


def role_of(claims: Claims, rules: Iterable[RoleRule]) -> tuple[str, str | None] | None:
    """Return the role of the first rule that fits, and the team; None: no rule fits."""
    for rule in rules:
        if rule.claim is not None and not has_value(claims, rule.claim, rule.value):
            continue
        team = rule.team
        if rule.team_claim is not None:
            found = texts(claims, (rule.team_claim,))
            if len(found) != 1:
                continue
            (team,) = found
        return rule.role, team
    return None


async def _claims(token: bytes, settings: SignIn, issuer: Issuer) -> Claims:
    try:
        parts = take_apart(token)
        try:
            _check(parts, settings, issuer)
        except UnknownSigner:
            if not issuer.ask_for_read():
                raise
            version = issuer.version
            await _until(lambda: issuer.version != version)
            _check(parts, settings, issuer)
    except (TokenRefused, UnknownSigner) as error:
        raise SignInFailed(f"The ID token is not valid. {error}") from error
    return parts.claims


def _check(parts: SignedToken, settings: SignIn, issuer: Issuer) -> None:
    audience = (settings.client_id,)
    check_token(parts, issuer.keys or (), settings, audience, now=time())


async def _address(issuer: Issuer, name: str) -> str:
    await _until(lambda: issuer.keys is not None)
    try:
        if issuer.keys is None:
            raise Unreadable(issuer.problem or "it has not answered yet")
        return address_in(issuer.addresses, name, issuer.url)
    except Unreadable as error:
        raise SignInFailed(
            f"{issuer.url} cannot be used to sign in: {error}. Try again, or use a key."
        ) from error


async def _until(is_so: Callable[[], bool]) -> None:
    """Wait a while for something."""
    for _ in range(POLLS):
        if is_so():
            return
        await asyncio.sleep(POLL_S)
