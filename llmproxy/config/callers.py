"""Who may call: keys, limits, and the groups that a caller may use."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from pydantic import BeforeValidator, Field

from llmproxy.config import checks
from llmproxy.config.base import CallerKey, KeyDigest, Section, Text
from llmproxy.config.limits import Limits


class Caller(Section):
    """One caller: whoever shows its key."""

    name: Text = Field(description="What the caller is called in logs and metrics; unique.")
    key: CallerKey | None = Field(
        default=None,
        description="The caller's key, best as `os.environ/NAME`; only its SHA-256 is kept in use.",
    )
    key_sha256: KeyDigest | None = Field(
        default=None,
        description="Instead of `key`: the SHA-256 of the key, 64 hex digits "
        "(`printf %s KEY | sha256sum`). Only for keys that cannot be guessed.",
    )
    limits: Annotated[Limits, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Limits,
        description="What the caller may send at most. Without it: no limit.",
    )
    groups: tuple[Text, ...] | None = Field(
        default=None,
        min_length=1,
        description="The model groups that the caller may use. Without it: all.",
    )

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the caller's key; empty, and so equal to none, if it has no key."""
        if self.key is not None:
            return sha256(self.key.get_secret_value().encode()).digest()
        return bytes.fromhex(self.key_sha256 or "")
