"""Whether a token is valid: who signed it, for whom, and when. Touches nothing; `now` is given."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import isfinite
from time import gmtime, strftime
from typing import Any, Protocol

from llmproxy.batteries.oidc.compact import SignedToken, TokenRefused
from llmproxy.batteries.oidc.key_set import PublicKey, keys_for

TYPES = {"jwt", "at+jwt", "application/at+jwt"}  # not those of another purpose, as `logout+jwt`
MAX_KID_CHARS = 256


class Expected(Protocol):
    """What a token must be."""

    @property
    def issuer(self) -> str:
        """Who made it (`iss`)."""

    @property
    def algorithms(self) -> Collection[str]:
        """How it may be signed."""

    @property
    def leeway_s(self) -> float:
        """How far two clocks may be apart."""


class UnknownSigner(Exception):
    """No key that is known may have signed a token. The issuer may have a new one."""


class WrongClock(TokenRefused):
    """A token is of the future, so the issuer's clock or ours is wrong."""


def check_token(
    token: SignedToken,
    keys: Iterable[PublicKey],
    expected: Expected,
    audience: Collection[str],
    *,
    now: float,
) -> None:
    """Raise TokenRefused for a token that is not valid, UnknownSigner if its key is not known.

    Of the header, only `alg`, `kid` and `typ` are read: keys come from the config alone, never from
    `jwk`, `jku`, `x5c` or `x5u`.
    """
    claims = token.claims
    if claims.get("iss") != expected.issuer:
        raise TokenRefused(
            f"The token's issuer (iss) is {_shown(claims.get('iss'))}, and {expected.issuer!r} is "
            "expected. Get one from there."
        )
    _check_signature(token, keys, expected)
    _check_audience(claims, audience)
    _check_times(claims, expected.leeway_s, now)


def _check_signature(token: SignedToken, keys: Iterable[PublicKey], expected: Expected) -> None:
    header = token.header
    alg, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(alg, str) or alg not in expected.algorithms:
        allowed = ", ".join(expected.algorithms)
        raise TokenRefused(
            f"The token is signed by {_shown(alg)} (alg), and these are accepted: {allowed}."
        )
    if "crit" in header:
        raise TokenRefused("The token has an extension (crit) that this proxy does not know.")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise TokenRefused(
            f"The token's type (typ) is {_shown(kind)}. Send an access token or an ID token."
        )
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID_CHARS):
        raise TokenRefused("The token's key id (kid) is no text of a usual length.")
    candidates = keys_for(keys, kid, alg)
    if not candidates:
        named = "no key id" if kid is None else f"the key {_shown(kid)}"
        raise UnknownSigner(
            f"The token names {named} (kid) for {alg}, which is not among the keys of "
            f"{expected.issuer}. Get a new token from there."
        )
    if not any(_is_signed(token, candidate.key, alg) for candidate in candidates):
        raise TokenRefused(
            f"The token's signature is not by {expected.issuer}: it was changed, or made "
            "elsewhere. Get a new one from there."
        )


def _is_signed(token: SignedToken, key: Any, alg: str) -> bool:
    from joserfc.jws import JWSRegistry  # noqa: PLC0415 - an optional extra

    return JWSRegistry.algorithms[alg].verify(token.signed, token.signature, key)


def _check_audience(claims: Mapping[str, Any], audience: Collection[str]) -> None:
    found = claims.get("aud")
    values = [found] if isinstance(found, str) else found
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        values = []
    if not set(values) & set(audience):
        raise TokenRefused(
            f"The token is for {_shown(found)} (aud), and not for this proxy. Ask its issuer for "
            f"one with the audience {' or '.join(map(repr, audience))}."
        )


def _check_times(claims: Mapping[str, Any], leeway_s: float, now: float) -> None:
    ends, begins, made = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if ends is None:
        raise TokenRefused("The token never ends: it has no exp. Ask its issuer for one that does.")
    if ends + leeway_s <= now:
        raise TokenRefused(
            f"The token was valid until {_utc(ends)} (exp), and it is {_utc(now)}. Get a new one."
        )
    for at, what in ((begins, "is valid from {} (nbf)"), (made, "was made at {} (iat)")):
        if at is not None and at - leeway_s > now:
            raise WrongClock(
                f"The token {what.format(_utc(at))}, but the clock of this proxy says "
                f"{_utc(now)}: one of the two clocks is wrong by {at - now:,.0f} s, or the token "
                "is for later. Set the clocks by NTP."
            )


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_time(value):
        raise TokenRefused(f"The token's {name} is {_shown(value)}, and Unix seconds are expected.")
    return float(value)


def _is_time(value: float) -> bool:
    return isfinite(value) and 0 <= value < 2**40


def _utc(at: float) -> str:
    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(at))


def _shown(value: object) -> str:
    """Return a value of a client for an error text: short, and without control characters."""
    if value is None:
        return "missing"
    text = ascii(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
