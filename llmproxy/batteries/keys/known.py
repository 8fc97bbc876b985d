"""What this process knows of keys and teams. Calls read it; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic, time

from llmproxy.batteries.callers import Identity, TeamRules, expired_key, unknown_key, utc
from llmproxy.batteries.keys.copy import CopyHead
from llmproxy.batteries.keys.key import PREFIX_BYTES, Key, digest_of
from llmproxy.batteries.keys.table import KeyTable, TablePart
from llmproxy.batteries.settings import full
from llmproxy.config import GeneralSettings
from llmproxy.errors import ClientError, Overload

# A key may have been made elsewhere while the store could not be read for so long.
STALE_S = 10.0
# How the keys begin that `llmproxy import --keys` takes over. Tokens (JWT) never begin so.
IMPORTED_PREFIX = b"sk-"
RETRY_AFTER_S = 1.0


class KnownKeys:
    """The keys and teams in memory: an `IdentitySource` and a `TeamSource`.

    `version`: counts the changes of teams. `used`: when keys were used last (Unix time), by id,
    until somebody takes it. `read_at`: when the store was last read to its end
    (`time.monotonic`); None: not since the start. `copied`: of the copy in the file.
    """

    def __init__(
        self, *, wall: Callable[[], float] = time, clock: Callable[[], float] = monotonic
    ) -> None:
        self.table = KeyTable()
        self.in_use = False
        self.version = 0
        self.used: dict[str, float] = {}
        self.read_at: float | None = None
        self.copied = CopyHead()
        self._required = False
        self._teams: dict[str, TeamRules] = {}
        self._wall = wall
        self._clock = clock

    def serve(self, settings: GeneralSettings) -> None:
        """Keys are made at run time: a config only says whether every client needs one."""
        self._required = full(settings).keys_are_required

    def identity_of(self, credential: bytes) -> Identity | None:
        """Return the key; None if the credential is none that we have made.

        Raises ClientError for one that is not valid, Overload if that cannot be told yet.
        """
        key = self.table.find(digest_of(credential))
        if key is None:
            is_ours = credential.startswith(PREFIX_BYTES)
            if is_ours or (self._required and self._may_be_imported(credential)):
                raise self._unknown()
            return None
        now = self._wall()
        if key.blocked or (key.expires_at is not None and key.expires_at <= now):
            raise _invalid(key)
        if key.key is not None:
            self.used[key.key] = now
        return key

    def team_named(self, name: str) -> TeamRules | None:
        """Return a team; None if there is none of this name."""
        return self._teams.get(name)

    def teams(self) -> Mapping[str, TeamRules]:
        """Return all teams by name."""
        return self._teams

    def serve_teams(self, teams: Iterable[TeamRules]) -> None:
        """Know these teams from now on."""
        new = {team.name: team for team in teams}
        if new != self._teams:
            self._teams = new
            self.version += 1

    def has_read_all(self) -> None:
        """Note that the store has been read to its end."""
        self.read_at = self._clock()
        self.in_use = self.table.count > 0

    def recall(self, head: CopyHead, parts: Sequence[TablePart]) -> None:
        """Know the keys of a copy, until the database has been read."""
        self.table.install(parts)
        self.serve_teams(head.teams)
        self.in_use = True
        self.copied = head

    def expect_keys(self) -> None:
        """Note that there may be keys that are not known yet."""
        self.in_use = True

    def _is_current(self) -> bool:
        return self.read_at is not None and self._clock() - self.read_at < STALE_S

    def _may_be_imported(self, credential: bytes) -> bool:
        """Say whether another gateway may have made a credential that is not known yet."""
        return credential.startswith(IMPORTED_PREFIX) and not self._is_current()

    def _unknown(self) -> ClientError | Overload:
        if self._is_current():
            return unknown_key()
        since = "is being read" if self.read_at is None else "cannot be reached"
        error = Overload(
            f"This key is not known here, and the store of keys {since}, so it may be valid. "
            "Try again.",
            retry_after_s=RETRY_AFTER_S,
        )
        error.code = "keys_not_loaded"
        return error


def _invalid(key: Key) -> ClientError:
    """Return the error for a key that was valid once."""
    until = key.expires_at or 0
    if key.blocked:
        text = f"The key '{key.name}' is blocked: its operator has taken it out of use."
        return ClientError(text, status=401, code="key_blocked")
    if not key.replaced:
        return expired_key(key.name, until)
    at = utc(until)
    text = f"The key '{key.name}' was replaced; this one was valid until {at}. Use the new one."
    return ClientError(text, status=401, code="key_expired")
