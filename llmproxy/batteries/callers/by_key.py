"""The callers of a config: identification, the groups each may use, and their limits.

A caller is identified by the SHA-256 of its key; the key itself is neither kept nor passed on.
Besides the callers of the config there may be others: keys that were made at run time, signed
tokens. Without any, and unless `keys_required` says otherwise, every client may use everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from hmac import compare_digest
from time import monotonic, time

from llmproxy.batteries.callers.identity import (
    Identity,
    IdentitySource,
    TeamSource,
    expired_key,
    unknown_key,
)
from llmproxy.batteries.callers.limits import CallerPermit
from llmproxy.batteries.callers.members import CallerInUse, CallersInUse, LimitsInUse, Share
from llmproxy.batteries.settings import Caller, FullSettings, full
from llmproxy.calls import Call, Headers
from llmproxy.config import GeneralSettings
from llmproxy.errors import ClientError, Overload
from llmproxy.protocols import Admit
from llmproxy.providers.base import BARE_KEYS
from llmproxy.record import CallRecord, RequestSummary
from llmproxy.routing import Group, Pool
from llmproxy.rules.capacity import Capacity

# Digest, whose key it is, and when that ends (Unix time; None: never). No digest equals b"".
Known = tuple[bytes, Identity | None, float | None]
UNKNOWN: Known = (b"", None, None)


class ConfiguredCallers:
    """Makes the callers of each config. Usage is carried over to the caller of the same name.

    `sources`: of the identities that are in no config. `teams`: of such teams.
    """

    def __init__(
        self, sources: Sequence[IdentitySource] = (), teams: TeamSource | None = None
    ) -> None:
        self._sources = tuple(sources)
        self._teams = teams
        self._limits = LimitsInUse()

    def serve(self, settings: GeneralSettings, pool: Pool, share: Share) -> CallersByKey:
        """Return the callers of a config that now takes effect. `pool`: all groups."""
        settings = full(settings)
        self._limits.begin()
        for source in self._sources:
            source.serve(settings)
        own = {
            caller.name: pool.limited_to(
                pool.groups if caller.groups is None else caller.groups, caller.aliases
            )
            for caller in settings.callers
            if caller.groups is not None or caller.aliases
        }
        members = CallersInUse(
            pool,
            settings.teams,
            own=own,
            source=self._teams,
            limits=self._limits,
            share=share,
        )
        return CallersByKey(settings, pool, members, self._sources)


def digest_of(caller: Caller) -> bytes:
    """Return the SHA-256 of a caller's key. Empty if it has no key, and so equal to no digest."""
    if caller.key is not None:
        return sha256(caller.key.get_secret_value().encode()).digest()
    return bytes.fromhex(caller.key_sha256 or "")


def identity_of(caller: Caller) -> Identity:
    """Return a configured caller as its calls see it. Its groups are a pool of its own."""
    bounds = caller.limits
    limits = bounds.rpm, bounds.tpm, bounds.concurrent
    return Identity(caller.name, caller.team, None, caller.tags, None, *limits)


class CallersByKey:
    """The callers of one config, and those of the sources."""

    __slots__ = (
        "_by_certificate",
        "_by_digest",
        "_members",
        "_pool",
        "_required",
        "_sources",
        "_static",
    )

    def __init__(
        self,
        settings: FullSettings,
        pool: Pool,
        members: CallersInUse,
        sources: Sequence[IdentitySource],
    ) -> None:
        self._pool = pool
        self._members = members
        self._sources = sources
        identities = [identity_of(caller) for caller in settings.callers]
        self._static = {identity.name: identity for identity in identities}
        self._by_digest: dict[bytes, Known] = {
            (digest := digest_of(caller)): (digest, identity, caller.valid_until)
            for caller, identity in zip(settings.callers, identities, strict=True)
        }
        self._by_certificate = {
            name: identity
            for caller, identity in zip(settings.callers, identities, strict=True)
            for name in caller.certificates
        }
        self._required = settings.keys_are_required
        for identity in self._static.values():  # their limits are shared from the start
            members.of(identity)

    def identify(
        self, headers: Headers, summary: RequestSummary, proven_names: tuple[str, ...] = ()
    ) -> None:
        """Note who sent a request, if it has to be anybody: by its key, else by its certificate.

        Raises the same ClientError for a missing key and for an unknown one.
        """
        if not (self._required or any(source.in_use for source in self._sources)):
            return
        for header, value in headers:
            if header == b"authorization":
                scheme, _, key = value.partition(b" ")
                if scheme.lower() != b"bearer":
                    continue
            elif header in BARE_KEYS:
                key = value
            else:
                continue
            identity = self._identity_of(key.strip())
            if identity is not None:
                self._note(identity, summary)
                return
        for name in proven_names:
            if (identity := self._by_certificate.get(name)) is not None:
                self._note(identity, summary)
                return
        if self._required:
            raise unknown_key()

    def _identity_of(self, key: bytes) -> Identity | None:
        digest = sha256(key).digest()
        known, identity, until = self._by_digest.get(digest, UNKNOWN)
        if compare_digest(digest, known):
            if until is not None and identity is not None and until <= time():
                raise expired_key(identity.name, until)
            return identity
        for source in self._sources:
            if source.in_use and (identity := source.identity_of(key)) is not None:
                if identity.name in self._static:
                    raise _name_taken(identity.name)
                return identity
        return None

    def _note(self, identity: Identity, summary: RequestSummary) -> None:
        summary.caller = identity.name
        if self._members.of(identity).blocked:
            raise ClientError(
                f"The team '{identity.team}' is blocked: its operator has taken it out of use.",
                status=401,
                code="key_blocked",
            )
        summary.team, summary.key = identity.team, identity.key
        if identity.tags:
            summary.tags = identity.tags

    def _member(self, name: str) -> CallerInUse:
        """Return the member that an identified call is from."""
        member = self._members.named(name)
        if member is None:
            if name not in self._static:  # tens of thousands of others have called since
                raise Overload("The proxy is full. Try again.", retry_after_s=1)
            member = self._members.of(self._static[name])
        return member

    def pool_of(self, caller: str | None) -> Pool:
        """Return the groups that a caller may use."""
        return self._pool if caller is None else self._member(caller).pool

    def limiting(self, admit: Admit) -> Admit:
        """Return what counts calls against their callers' limits, and then admits them by `admit`.

        It raises CallerThrottled if there is no room.
        """
        if not self._sources and not any(True for _ in self.capacities()):
            return admit

        def limited(
            call: Call, group: Group, record: CallRecord
        ) -> AbstractAsyncContextManager[None]:
            admitted = admit(call, group, record)
            if call.caller is not None:
                for limits in self._member(call.caller).limits:  # the team's is entered first
                    admitted = CallerPermit(limits, call, group, record, admitted)
            return admitted

        return limited

    def limit_headers(self, call: Call) -> Headers | None:
        """Return what a caller has left of its limits, in its dialect; None without limits."""
        limits = () if call.caller is None else self._member(call.caller).limits
        return limits[0].headers(call.route.dialect, monotonic()) if limits else None

    def capacities(self) -> Iterator[Capacity]:
        """Yield the capacity of each caller and team with limits; instances share them."""
        return self._members.capacities()


def _name_taken(name: str) -> ClientError:
    return ClientError(
        f"The config of this proxy has a caller '{name}' of its own, so the key or token under "
        "this name is not valid. Ask its operator for another one.",
        status=401,
        code="key_blocked",
    )
