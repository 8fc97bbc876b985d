"""Session cookies: until when they hold, a nonce, who has signed in, and an HMAC over all.

A cookie carries its own proof, so every worker and instance accepts it, and there is no table of
sessions. That of a key is signed with a secret and the digest of the key, and says no more: the
digest alone may stand in a config that many can read (`key_sha256`). That of somebody who has
signed in at an issuer says who it is, and is signed with a secret and the rules of `sign_in`. So a
new key, or other rules of `sign_in`, end the session. So does a restart, because the list of
sessions that have signed out is lost.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from secrets import token_hex
from time import time
from typing import TYPE_CHECKING

import msgspec

from llmproxy.batteries.admin.people import Person, people_of
from llmproxy.batteries.admin.process_family import MARK_BYTES, SESSION_SECRET
from llmproxy.batteries.settings import FullSettings

if TYPE_CHECKING:
    from fastapi import Request

COOKIE = "llmproxy_session"
SESSION_S = 12 * 3600


def session_cookie(key: bytes, until: int, content: bytes = b"") -> str:
    """Return a new cookie that is valid until a Unix time. `key`: what it is signed with."""
    parts = [str(until), token_hex(8)]
    if content:
        parts.append(urlsafe_b64encode(content).rstrip(b"=").decode())
    session = "-".join(parts)
    return f"{session}.{_signature(session, key)}"


def is_session_cookie(cookie: str, key: bytes, now: float) -> bool:
    """Return whether a cookie was signed with this key and has not expired."""
    session, _, signature = cookie.partition(".")
    if not compare_digest(signature.encode(), _signature(session, key).encode()):
        return False
    return now < _ends_at(session)


def content_of(cookie: str) -> bytes:
    """Return what a cookie was made to hold. Its signature has been checked."""
    text = cookie.partition(".")[0].split("-", 2)[2]
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cookie_of(person: Person, settings: FullSettings) -> tuple[str, int]:
    """Return a session cookie for somebody who has signed in at an issuer, and its seconds."""
    seconds = _seconds(settings)
    content = msgspec.json.encode(person)
    return session_cookie(sign_in_key(settings), int(time()) + seconds, content), seconds


def person_of_session(cookie: str, settings: FullSettings) -> Person | None:
    """Return whose session a cookie is of; it may have been ended."""
    now = time()
    if settings.sign_in is not None and is_session_cookie(cookie, sign_in_key(settings), now):
        return msgspec.json.decode(content_of(cookie), type=Person)
    for digest, person in people_of(settings):
        if is_session_cookie(cookie, key_of_session(digest, settings), now):
            return person
    return None


def began_at(cookie: str, settings: FullSettings) -> int:
    """Return when a session began, in Unix seconds."""
    is_of_key = cookie.partition(".")[0].count("-") == 1
    return _ends_at(cookie) - (SESSION_S if is_of_key else _seconds(settings))


def mark_of(cookie: str) -> bytes:
    """Return what an ended session is remembered by."""
    return sha256(cookie.encode()).digest()[:MARK_BYTES]


def is_https(request: Request) -> bool:
    """Return whether the browser uses TLS, also to a proxy in front."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))


def sign_in_key(settings: FullSettings, purpose: str = "session") -> bytes:
    """Return what cookies of `sign_in` are signed with. Other rules are another key."""
    rules = "" if settings.sign_in is None else settings.sign_in.model_dump_json()
    return hmac_digest(_secret(settings), f"{purpose}\n{rules}".encode(), "sha256")


def key_of_session(digest: bytes, settings: FullSettings) -> bytes:
    """Return what the cookie of somebody who has shown a key is signed with."""
    return hmac_digest(_secret(settings), b"key\n" + digest, "sha256")


def _secret(settings: FullSettings) -> bytes:
    """Return a secret that instances have in common if the config has one; else it lives as long as
    the process and its workers."""
    sign_in = settings.sign_in
    secrets = (None if sign_in is None else sign_in.client_secret, settings.admin_key)
    secret = next((one.get_secret_value() for one in secrets if one is not None), SESSION_SECRET)
    return secret.encode("utf-8", "surrogatepass")


def _seconds(settings: FullSettings) -> int:
    return SESSION_S if settings.sign_in is None else int(settings.sign_in.session_s)


def _signature(session: str, key: bytes) -> str:
    return hmac_digest(key, session.encode(), "sha256").hex()


def _ends_at(session: str) -> int:
    return int(session.partition("-")[0])
