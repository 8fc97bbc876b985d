"""The public keys of an issuer, as it publishes them (JWKS, RFC 7517)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

MAX_KEYS = 100
MAX_TRIED = 5  # keys that a token without a key id is tried with
MIN_RSA_BITS = 2048
BITS_PER_LETTER = 6  # of base64
# How an algorithm begins -> the type of its keys, and the curve.
_KEYS_OF: dict[str, tuple[str, str | None]] = {
    **{"RS": ("RSA", None), "PS": ("RSA", None)},
    **{"ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521")},
    **{"EdDSA": ("OKP", "Ed25519"), "Ed25519": ("OKP", "Ed25519")},
}


class NoKeySet(Exception):
    """What an issuer answered is no key set."""


class PublicKey(msgspec.Struct, frozen=True):
    """A key that signatures are checked with. `alg`: the only algorithm that it is for, if any."""

    kid: str | None
    kty: str
    curve: str | None
    alg: str | None
    key: Any

    def fits(self, alg: str) -> bool:
        """Return whether it is a key of an algorithm: one of RSA never checks another kind."""
        wanted = _KEYS_OF.get(alg) or _KEYS_OF.get(alg[:2])
        return wanted == (self.kty, self.curve) and self.alg in (None, alg)


def keys_for(keys: Iterable[PublicKey], kid: str | None, alg: str) -> list[PublicKey]:
    """Return the keys that may have signed a token that names this key, or none."""
    fitting = (key for key in keys if kid in (None, key.kid) and key.fits(alg))
    return [key for key, _ in zip(fitting, range(MAX_TRIED), strict=False)]


def read_key_set(document: bytes) -> tuple[PublicKey, ...]:
    """Return the keys for signatures; others are left out. Raises NoKeySet without any."""
    try:
        found = json.loads(document)
        given = found["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NoKeySet("the answer is no JSON with a list of keys") from error
    if not isinstance(given, list):
        raise NoKeySet("`keys` is no list")
    keys = tuple(_usable(given[:MAX_KEYS]))
    if not keys:
        raise NoKeySet("it has no public key of RSA (2048 bits or more), EC or Ed25519")
    return keys


def _usable(given: Iterable[object]) -> Iterator[PublicKey]:
    # An optional extra, and slow to import: here, a thread does it. Calls need `jws`.
    from joserfc import jws  # noqa: F401, PLC0415
    from joserfc.jwk import import_key  # noqa: PLC0415

    for one in given:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        kty, kid, curve, alg = (_text(one, name) for name in ("kty", "kid", "crv", "alg"))
        if kty not in _PUBLIC:  # a shared secret (oct) is no public key
            continue
        if kty == "RSA" and len(str(one.get("n"))) * BITS_PER_LETTER < MIN_RSA_BITS:
            continue
        public = {name: value for name, value in one.items() if name in _PUBLIC[kty]}
        try:
            key: Any = import_key(public)
        except Exception:  # noqa: BLE001, S112 - whatever the library raises for a key that is none
            continue
        yield PublicKey(kid, kty, curve if kty != "RSA" else None, alg, key)


_PUBLIC = {
    "RSA": {"kty", "n", "e"},
    "EC": {"kty", "crv", "x", "y"},
    "OKP": {"kty", "crv", "x"},
}


def _text(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    return value if isinstance(value, str) else None
