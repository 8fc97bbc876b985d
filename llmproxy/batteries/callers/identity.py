"""Who a call is from, and what that caller may do."""

from __future__ import annotations

from time import gmtime, strftime
from typing import Protocol

import msgspec

from llmproxy.config import GeneralSettings
from llmproxy.errors import ClientError


class Identity(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A caller as its calls see it.

    Attributes:
        name: In logs, metrics and limits; unique.
        team: The team whose limits hold as well; None: no team.
        key: The id of a key that was made at run time; None of any other identity.
        tags: Labels that all its calls get.
        models: Patterns of the groups and aliases that it may use; None: all.
        rpm: Requests in any 60 seconds; None: no limit.
        tpm: Tokens in any 60 seconds.
        concurrent: Calls at a time.
    """

    name: str
    team: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrent: int | None = None


class TeamRules(msgspec.Struct, frozen=True, gc=False):
    """What a team's callers may do together. `models`: patterns, as those of an Identity."""

    name: str
    models: tuple[str, ...] | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrent: int | None = None
    blocked: bool = False


class IdentitySource(Protocol):
    """Knows identities that are in no config: keys made at run time, signed tokens.

    `in_use`: whether any client may have such a credential. All of this is in a call's path, so
    nothing may wait.
    """

    in_use: bool

    def serve(self, settings: GeneralSettings) -> None:
        """Apply the settings of a config from now on."""

    def identity_of(self, credential: bytes) -> Identity | None:
        """Return whose credential it is; None if it is of another kind.

        The same object while nothing about the identity changes. Raises ClientError for one that
        is of this kind and not valid, Overload if that cannot be told yet.
        """


class TeamSource(Protocol):
    """Knows teams that are in no config. `version` changes whenever a team does."""

    version: int

    def team_named(self, name: str) -> TeamRules | None:
        """Return a team; None if there is none of this name."""


def expired_key(name: str, until: float) -> ClientError:
    """Return the error for a key that was valid until a moment, in Unix seconds."""
    text = f"The key '{name}' was valid until {utc(until)}. Ask the operator for a new one."
    return ClientError(text, status=401, code="key_expired")


def utc(at: float) -> str:
    """Return a moment as errors tell it."""
    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(at))


def unknown_key() -> ClientError:
    """Return the error for a request without a key, and for one with a key that nobody has."""
    return ClientError(
        "The request has no valid API key for this proxy. Send the key that its operator gave "
        "you as 'Authorization: Bearer KEY', as 'api-key' or as 'x-api-key'.",
        status=401,
        code="invalid_api_key",
    )
