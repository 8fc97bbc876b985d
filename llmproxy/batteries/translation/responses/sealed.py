"""Thinking that travels through clients of the Responses API in `encrypted_content`.

A client of that API sends `encrypted_content` back unread. So the thinking of a vendor that wants
it back with its signature is put there, whole: the client may cut or drop the summary, but a
signature is only valid with the text that it seals. The mark at the beginning distinguishes ours
from OpenAI's, which no other vendor can read.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from llmproxy.batteries.translation.hub import Thinking

MARK = "llmproxy-1."


class _Sealed(msgspec.Struct, omit_defaults=True):
    text: str = ""
    signature: str | None = None
    redacted: str | None = None


def seal(thinking: Thinking) -> str | None:
    """Return the `encrypted_content` of a reasoning item; None for thinking in words alone."""
    if thinking.encrypted is not None:
        return thinking.encrypted
    if thinking.signature is None and thinking.redacted is None:
        return None
    sealed = _Sealed(thinking.text, thinking.signature, thinking.redacted)
    return MARK + urlsafe_b64encode(msgspec.json.encode(sealed)).decode()


def unseal(encrypted: str) -> Thinking | None:
    """Return the thinking in an `encrypted_content`; None if it is not of ours."""
    if not encrypted.startswith(MARK):
        return None
    try:
        sealed = msgspec.json.decode(urlsafe_b64decode(encrypted.removeprefix(MARK)), type=_Sealed)
    except (ValueError, UnicodeDecodeError):  # a client has changed it
        return None
    return Thinking(text=sealed.text, signature=sealed.signature, redacted=sealed.redacted)
