"""Who may use `/admin`, and as what."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from hashlib import sha256

import msgspec

from llmproxy.batteries.admin.process_family import START_TOKEN
from llmproxy.batteries.settings import FullSettings


class AdminRole(StrEnum):
    """What somebody may do. Each role may also do what those below it may."""

    ADMIN = "admin"  # change
    VIEWER = "viewer"  # read everything
    TEAM = "team"  # read what is of one team

    def includes(self, other: AdminRole) -> bool:
        """Return whether this role may do what another one may."""
        roles = list(AdminRole)
        return roles.index(self) <= roles.index(other)


class Person(msgspec.Struct, frozen=True):
    """Somebody who uses `/admin`. `team`: of the role TEAM, the only team that it sees."""

    name: str
    role: AdminRole
    team: str | None = None


ADMIN_KEY_HOLDER = Person("admin", AdminRole.ADMIN)


def people_of(settings: FullSettings) -> Iterator[tuple[bytes, Person]]:
    """Yield everybody who may sign in by a key, with its SHA-256."""
    if settings.admin_key is not None:
        yield digest_of(settings.admin_key.get_secret_value()), ADMIN_KEY_HOLDER
    elif settings.admin_is_open:
        yield digest_of(START_TOKEN), ADMIN_KEY_HOLDER
    for one in settings.operators:
        person = Person(one.name, AdminRole(one.role), one.team)
        if one.key is not None:
            yield digest_of(one.key.get_secret_value()), person
        else:
            yield bytes.fromhex(one.key_sha256 or ""), person


def digest_of(key: str) -> bytes:
    """Return the SHA-256 of a key. Digests are compared, so the time reveals nothing of a key."""
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
