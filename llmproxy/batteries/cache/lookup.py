"""Which calls may be answered from the cache, under which key, and what their clients say of it."""

from __future__ import annotations

from operator import itemgetter

import msgspec

from llmproxy.batteries.cache.keys import CacheKey, cache_key_of
from llmproxy.batteries.settings import full
from llmproxy.calls import Call, Headers
from llmproxy.config import CacheMode, Config
from llmproxy.errors import ClientError
from llmproxy.operations import Caching, Replay
from llmproxy.record import CacheResult, CallRecord
from llmproxy.routing import Group

ROUNDING_S = 0.001  # of sums of seconds

DIRECTIVES = frozenset((b"bypass", b"refresh", b"force", b"only"))
# Headers that choose a version of an API, so they change the answer.
VERSIONS = frozenset((b"openai-beta", b"anthropic-beta", b"anthropic-version"))
READ_HEADERS = VERSIONS | {b"x-llmproxy-cache", b"cache-control"}
_NAME = itemgetter(0)  # of a header


class CacheDirectives(msgspec.Struct, gc=False):
    """What a call's headers say about the cache. Not changed after they are read.

    `directive`: of `x-llmproxy-cache`. `reads`, `writes`: may be answered from the cache, and kept.
    `max_age_s`: the age from which on an answer is not served. `versions`: of the API.
    """

    directive: bytes = b""
    reads: bool = True
    writes: bool = True
    max_age_s: float = float("inf")
    versions: tuple[str, ...] = ()


NO_DIRECTIVES = CacheDirectives()


def directives_of(headers: Headers) -> CacheDirectives:
    """Read `x-llmproxy-cache` and the client's `Cache-Control` (RFC 9111, 5.2.1).

    Raises ClientError for an unknown directive.
    """
    if READ_HEADERS.isdisjoint(map(_NAME, headers)):
        return NO_DIRECTIVES
    found = CacheDirectives()
    for name, value in headers:
        if name not in READ_HEADERS:
            continue
        if name == b"x-llmproxy-cache":
            found.directive = value.lower()
            if found.directive not in DIRECTIVES:
                raise ClientError(
                    "Expected 'bypass', 'refresh', 'force' or 'only' in x-llmproxy-cache, found "
                    f"'{value.decode('latin-1')}'.",
                    param="x-llmproxy-cache",
                )
            found.reads &= found.directive != b"refresh"
        elif name == b"cache-control":
            for part in value.lower().split(b","):
                _apply_cache_control(found, *part.strip().partition(b"=")[::2])
        else:
            found.versions += (f"{name.decode()}:{value.decode('latin-1')}",)
    return found


def _apply_cache_control(to: CacheDirectives, directive: bytes, argument: bytes) -> None:
    if directive == b"no-store":
        to.writes = False
    elif directive == b"no-cache":
        to.reads = False
    elif directive == b"max-age" and argument.isdigit():
        to.max_age_s = float(argument)


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """What to look up for a call, and how.

    `variant`: the key of the answer as this call needs it: as JSON, as a stream, or as a stream
    with usage. `usage`: the answer must include its usage. `patient`: the call waits as long as the
    proxy allows, so other calls may rely on it as their leader.
    """

    call: Call
    group: Group
    key: bytes
    variant: bytes
    directives: CacheDirectives
    usage: bool
    patient: bool


class CachePolicy:
    """What a config allows to be cached."""

    __slots__ = ("_idle_s", "_lasts_s", "_mode", "_modes", "_per_caller", "_waits_s")

    def __init__(self, config: Config) -> None:
        settings = full(config.general_settings)
        params = settings.cache_params
        self._mode: CacheMode = params.mode if settings.cache else "off"
        self._modes: dict[str, CacheMode] = {}  # of the groups that have one of their own
        if settings.cache:
            for group in config.model_groups:
                if group.cache is not None:
                    self._modes[group.model_group] = group.cache
        scope = params.scope or "per_caller"
        self._per_caller = scope == "per_caller"
        # What the proxy allows: of silence, until an answer begins, and for all of it.
        self._idle_s = settings.timeouts.idle_s
        total_s = settings.timeouts.total_s
        self._waits_s = min(self._idle_s, total_s) - ROUNDING_S
        self._lasts_s = total_s - ROUNDING_S

    def lookup(self, call: Call, group: Group, record: CallRecord) -> Lookup | None:
        """Return what to look up for a call; None if its answer may not be cached.

        Raises ClientError for an unknown directive, and for `only` if nothing can be cached.
        """
        mode = self._modes.get(group.name, self._mode)
        if mode == "off" or call.route.operation.caching is Caching.NEVER:
            return None
        directives = directives_of(call.headers)
        key = self._key_of(call, group, directives, mode)
        if key is None:
            if directives.directive == b"only":
                raise not_cached()
            record.cache = CacheResult.BYPASS
            return None
        record.cache = CacheResult.MISS
        patient = (
            call.patience_s >= self._idle_s
            and call.deadline_at - call.received_at >= self._waits_s
            and call.ends_at - call.received_at >= self._lasts_s
        )
        usage = key.wants_usage or not call.stream
        variant = key.digest + (b"json" if not call.stream else b"+usage" if usage else b"events")
        return Lookup(call, group, key.digest, variant, directives, usage, patient)

    def _key_of(
        self, call: Call, group: Group, directives: CacheDirectives, mode: CacheMode
    ) -> CacheKey | None:
        """Return the key of an answer; None if it cannot be repeated, or belongs to the client's
        own account."""
        body = call.body
        if (
            directives.directive == b"bypass"
            or not isinstance(body, bytes)
            or call.bound_to_account
            or call.replay is not Replay.SAFE
            or (call.caller is None and group.takes_client_keys)
        ):
            return None
        caller = call.caller if self._per_caller else None
        return cache_key_of(
            body,
            operation=call.route.path,
            model=call.model,
            query=call.query,
            scope=(group.name, caller or "", *directives.versions),
            random=mode == "all" or directives.directive in (b"force", b"only"),
        )


def not_cached() -> ClientError:
    """Return the error for a call with the directive `only` and no cached answer."""
    # 504 as RFC 9111, 5.2.1.7, has it for only-if-cached.
    return ClientError(
        "No cached answer, and `x-llmproxy-cache: only` forbids asking an endpoint.",
        status=504,
        code="not_cached",
        param="x-llmproxy-cache",
    )
