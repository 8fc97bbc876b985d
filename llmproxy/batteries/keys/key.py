"""A key that was made at run time: how it is written, and what a call needs to know of it."""

from __future__ import annotations

from hashlib import sha256
from secrets import token_urlsafe

import msgspec

from llmproxy.batteries.callers import Identity

PREFIX = "sk-llmproxy-"
PREFIX_BYTES = PREFIX.encode()
SECRET_BYTES = 32
SHOWN_CHARS = 8  # of the secret, which tell an owner's keys apart


class Key(Identity, frozen=True, array_like=True, gc=False):
    """A key in memory. The `key` of the Identity is its id.

    Attributes:
        blocked: The operator took it out of use.
        expires_at: Unix time from which it is not valid any more; None: never.
        replaced: This digest is the earlier one of a key that was rotated, valid until then.
    """

    blocked: bool = False
    expires_at: float | None = None
    replaced: bool = False


def new_secret() -> str:
    """Return a new key, to be shown once."""
    return PREFIX + token_urlsafe(SECRET_BYTES)


def new_id() -> str:
    """Return the id of a new key."""
    return f"key_{token_urlsafe(12).replace('-', 'A').replace('_', 'B')}"


def digest_of(secret: bytes) -> bytes:
    """Return what is kept of a key. It is random, so no salt is needed."""
    return sha256(secret).digest()


def shown_prefix(secret: str) -> str:
    """Return the beginning of a key by which its owner recognises it."""
    return secret[: len(PREFIX) + SHOWN_CHARS]


encode_key = msgspec.msgpack.Encoder().encode
decode_key = msgspec.msgpack.Decoder(Key).decode
