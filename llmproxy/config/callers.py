"""Who may call: keys, limits, and the groups that a caller may use."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from pydantic import BeforeValidator, Field

from llmproxy.config import checks
from llmproxy.config.base import Secret, Section, Text
from llmproxy.config.limits import Limits


class Caller(Section):
    """One caller: whoever shows its key."""

    name: Text = Field(description="What the caller is called in logs and metrics.")
    key: Secret | None = Field(
        default=None,
        description="The caller's key, best as `os.environ/NAME`; only its SHA-256 is kept in use.",
    )
    key_sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None = Field(
        default=None,
        description="Instead of `key`: the SHA-256 of the key, 64 hex digits "
        "(`printf %s KEY | sha256sum`).",
    )
    limits: Annotated[Limits, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Limits, description="How much the caller may send. Without it: no limit."
    )
    groups: tuple[Text, ...] | None = Field(
        default=None, description="The model groups that the caller may use. Without it: all."
    )

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the caller's key."""
        if self.key_sha256 is not None:
            return bytes.fromhex(self.key_sha256)
        return sha256(self.key.get_secret_value().encode() if self.key else b"").digest()
