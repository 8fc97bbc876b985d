"""Callers by signed tokens: checked here, with keys that are in memory, and remembered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from time import monotonic, time

import msgspec

from llmproxy.batteries.callers import Identity
from llmproxy.batteries.oidc.claims import Claims, has_value, texts
from llmproxy.batteries.oidc.compact import TokenRefused, looks_like_token, take_apart
from llmproxy.batteries.oidc.issuers import Issuer, Issuers
from llmproxy.batteries.oidc.verification import UnknownSigner, WrongClock, check_token
from llmproxy.batteries.settings import Jwt, full
from llmproxy.config import GeneralSettings
from llmproxy.errors import ClientError, GatewayError, Overload

logger = logging.getLogger("llmproxy")

MAX_REMEMBERED = 20_000  # tokens, and identities
MAX_TAGS = 10
RETRY_AFTER_S = 1.0
CLOCK_TOLD_EVERY_S = 60.0


class ValidToken(msgspec.Struct, frozen=True):
    """A token that was checked: whose it is, until when, and by which read of the keys."""

    identity: Identity
    until: float
    version: int


class TokenIdentities:
    """The callers behind tokens: an `IdentitySource`. `in_use`: the config names an issuer."""

    def __init__(
        self,
        issuers: Issuers,
        *,
        wall: Callable[[], float] = time,
    ) -> None:
        self.in_use = False
        self._issuers = issuers
        self._wall = wall
        self._rules: Jwt | None = None
        self._issuer: Issuer | None = None
        self._accepted: dict[bytes, ValidToken] = {}
        self._identities: dict[Identity, Identity] = {}
        self._clock_told_at = -CLOCK_TOLD_EVERY_S

    def serve(self, settings: GeneralSettings) -> None:
        """Accept the tokens that a config names from now on."""
        rules = self._rules = full(settings).jwt
        self._issuer = None if rules is None else self._issuers.of(rules.issuer, rules.jwks_url)
        self._accepted.clear()
        self.in_use = rules is not None

    def identity_of(self, credential: bytes) -> Identity | None:
        """Return the caller behind a token; None if the credential is none.

        Raises ClientError for a token that is not valid, Overload if that cannot be told yet.
        """
        rules, issuer = self._rules, self._issuer
        if rules is None or issuer is None or not looks_like_token(credential):
            return None
        digest = sha256(credential).digest()
        known = self._accepted.get(digest)
        if known is not None and known.version == issuer.version:
            if known.until > self._wall():
                return known.identity
            del self._accepted[digest]
        try:
            accepted = self._checked(credential, rules, issuer)
        except TokenRefused as error:
            self._tell_of_clock(error)
            raise _refusal(str(error)) from None
        if len(self._accepted) >= MAX_REMEMBERED:
            self._accepted.clear()
        self._accepted[digest] = accepted
        return accepted.identity

    def _checked(self, credential: bytes, rules: Jwt, issuer: Issuer) -> ValidToken:
        token = take_apart(credential)
        if issuer.keys is None:
            raise _not_yet(issuer)
        try:
            check_token(token, issuer.keys, rules, rules.audience, now=self._wall())
        except UnknownSigner as error:
            if issuer.ask_for_read():
                raise _being_read(issuer) from None
            raise TokenRefused(str(error)) from None
        identity = identity_by(token.claims, rules)
        if len(self._identities) >= MAX_REMEMBERED:
            self._identities.clear()
        identity = self._identities.setdefault(identity, identity)
        until = float(token.claims["exp"]) + rules.leeway_s
        return ValidToken(identity, until, issuer.version)

    def _tell_of_clock(self, error: TokenRefused) -> None:
        now = monotonic()
        if isinstance(error, WrongClock) and now - self._clock_told_at >= CLOCK_TOLD_EVERY_S:
            self._clock_told_at = now
            logger.warning("A caller's token was refused. %s", error)


def identity_by(claims: Claims, rules: Jwt) -> Identity:
    """Return whom valid claims are of, as the config reads them.

    Raises TokenRefused if they do not say what the config asks for: nobody gets more rights because
    a claim is missing.
    """
    for name, values in rules.require.items():
        if not has_value(claims, name, values):
            raise TokenRefused(
                f"The token's {name} must be or contain {' or '.join(map(repr, values))}. Ask its "
                "issuer for that."
            )
    names = rules.claims
    callers = texts(claims, names.caller)
    if len(callers) != 1:
        raise _missing(names.caller, "the caller", "one text")
    models = rules.models
    if names.models and (found := texts(claims, names.models)):
        models = found
    elif names.models and models is None:
        raise _missing(names.models, "the models", "a list of texts")
    tags = (*rules.tags, *texts(claims, names.tags))[:MAX_TAGS]
    limits = rules.limits
    return Identity(
        name=f"{rules.prefix}{callers[0]}",
        team=_team(claims, rules),
        tags=tags,
        models=models,
        rpm=limits.rpm,
        tpm=limits.tpm,
        concurrent=limits.concurrent,
    )


def _team(claims: Claims, rules: Jwt) -> str | None:
    found = texts(claims, rules.claims.team)
    if rules.teams:
        team = next((rules.teams[value] for value in found if value in rules.teams), rules.team)
    else:
        team = found[0] if len(found) == 1 else rules.team
    if team is None and rules.claims.team:
        expected = "one of the values in `teams`" if rules.teams else "one text"
        raise _missing(rules.claims.team, "the team", expected)
    return team


def _missing(names: tuple[str, ...], what: str, expected: str) -> TokenRefused:
    return TokenRefused(
        f"The token does not say {what}: {' or '.join(names)} must be {expected}. Ask its issuer "
        "for this claim."
    )


def _refusal(text: str) -> ClientError:
    return ClientError(text, status=401, code="invalid_token")


def _not_yet(issuer: Issuer) -> GatewayError:
    since = "are being read" if issuer.problem is None else f"cannot be read ({issuer.problem})"
    return _later(f"The keys of {issuer.url} {since}, so this token cannot be checked. Try again.")


def _being_read(issuer: Issuer) -> GatewayError:
    return _later(
        f"The token is signed by a key that is not known yet, and the keys of {issuer.url} are "
        "being read. Try again."
    )


def _later(text: str) -> GatewayError:
    error = Overload(text, retry_after_s=RETRY_AFTER_S)
    error.code = "keys_not_loaded"
    return error
