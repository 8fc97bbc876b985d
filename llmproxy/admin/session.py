"""How a browser shows that somebody has signed in: a cookie that scripts cannot read.

The cookie is its own proof: until when it is good, and an HMAC of that by the admin key. So every
worker and instance knows it, a restart does not end it, and another key does.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest

COOKIE = "llmproxy_session"
LASTS_S = 12 * 3600


def proof(key: str, until: int) -> str:
    """What the cookie says who knows the key, until that Unix time."""
    return f"{until}.{hmac_digest(_secret(key), str(until).encode(), 'sha256').hex()}"


def is_proof(shown: str, key: str, now: float) -> bool:
    """Whether it is one for this key, and its time is not over."""
    until = shown.partition(".")[0]
    if not (until.isascii() and until.isdigit()) or len(until) > 12:
        return False
    return compare_digest(shown.encode(), proof(key, int(until)).encode()) and now < int(until)


def is_key(shown: str, key: str) -> bool:
    """Compared by digests, so that the time it takes tells nothing of the key."""
    return compare_digest(_secret(shown), _secret(key))


def _secret(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
