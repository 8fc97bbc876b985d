"""What the claims of a valid token say: names, lists, and values that must be there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

MAX_VALUES = 1_000
MAX_CHARS = 200
Claims = Mapping[str, Any]


def claim(claims: Claims, name: str) -> object:
    """Return a claim; None = it is not there. A dot leads into an object: `realm_access.roles`.

    An e-mail address that its issuer has not verified is nobody's.
    """
    if name == "email" and claims.get("email_verified") in (False, "false"):
        return None
    if name in claims:  # the names of some issuers are URLs, with dots
        return claims[name]
    for at, letter in enumerate(name):
        inside = claims.get(name[:at]) if letter == "." else None
        if isinstance(inside, Mapping) and (found := claim(inside, name[at + 1 :])) is not None:
            return found
    return None


def texts(claims: Claims, names: Iterable[str]) -> tuple[str, ...]:
    """Return the values of the first of these claims that is there: a text, or a list of texts."""
    for name in names:
        found = claim(claims, name)
        values = found if isinstance(found, list) else [found]
        usable = tuple(
            value for value in values[:MAX_VALUES] if isinstance(value, str) and _is_usable(value)
        )
        if usable:
            return usable
    return ()


def addresses_of(claims: Claims) -> tuple[str, ...]:
    """Return what somebody may stand under in a list of people: the e-mail address in small
    letters, and the subject.

    A subject that looks like an address is none: at some issuers people choose it.
    """
    email, subject = texts(claims, ("email",))[:1], texts(claims, ("sub",))[:1]
    return (*(one.lower() for one in email), *(one for one in subject if "@" not in one))


def has_value(claims: Claims, name: str, values: Collection[str]) -> bool:
    """Return whether a claim is, or has, one of some values. `scope` is a list with spaces."""
    found = claim(claims, name)
    if isinstance(found, bool):
        return str(found).lower() in values
    if isinstance(found, int):
        return str(found) in values
    if name in ("scope", "scp") and isinstance(found, str):
        return not set(found.split()).isdisjoint(values)
    return not set(texts(claims, (name,))).isdisjoint(values)


def _is_usable(value: str) -> bool:
    return 0 < len(value) <= MAX_CHARS and value == value.strip() and value.isprintable()
