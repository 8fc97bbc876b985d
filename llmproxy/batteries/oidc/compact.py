"""A signed token in its compact form (RFC 7515), taken apart. Nothing in it is believed yet."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any

import msgspec

MAX_BYTES = 16 * 1024
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
PARTS_SIGNED, PARTS_ENCRYPTED = 3, 5


class TokenRefused(Exception):
    """A token is not valid here. The text says what was expected, and what to do."""


class SignedToken(msgspec.Struct, frozen=True):
    """A token: its header and claims, and the bytes that the signature is of."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def looks_like_token(credential: bytes) -> bool:
    """Return whether a credential is a token rather than a key: JSON in base64, with dots."""
    return credential[:2] == b"ey" and credential.count(b".") in (
        PARTS_SIGNED - 1,
        PARTS_ENCRYPTED - 1,
    )


def take_apart(token: bytes) -> SignedToken:
    """Return the parts of a token. Raises TokenRefused for one that is none."""
    if len(token) > MAX_BYTES:
        raise TokenRefused(
            f"The token has {len(token):,} bytes, and at most {MAX_BYTES:,} are accepted. Ask its "
            "issuer for fewer claims, such as no list of all groups."
        )
    parts = token.split(b".")
    if len(parts) == PARTS_ENCRYPTED:
        raise TokenRefused("The token is encrypted. Send a signed one (JWS, three parts).")
    if len(parts) != PARTS_SIGNED:
        raise TokenRefused("The token is damaged: it has not three parts. Send it as you got it.")
    header, claims, signature = parts
    return SignedToken(
        header=_object("header", header),
        claims=_object("body", claims),
        signed=b".".join((header, claims)),
        signature=_decoded("signature", signature),
    )


def _decoded(what: str, part: bytes) -> bytes:
    # Python's decoder skips what is not base64: two texts would be one token.
    if not _LETTERS.issuperset(part):
        raise _damaged(what)
    try:
        return urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (NotBase64, ValueError) as error:
        raise _damaged(what) from error


def _object(what: str, part: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(_decoded(what, part), object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise _damaged(what) from error
    if not isinstance(found, dict):
        raise _damaged(what)
    return found


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. One with a name twice means different things to different readers."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise TokenRefused("The token has a member twice. Ask its issuer for a valid one.")
    return found


def _damaged(what: str) -> TokenRefused:
    return TokenRefused(
        f"The token is damaged: its {what} cannot be read. Send it as you got it, whole."
    )
