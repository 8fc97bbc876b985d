"""Which calls may be answered from the cache, and under which key."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llmproxy.cache.directives import CacheDirectives, directives_of
from llmproxy.cache.keys import CacheKey, cache_key_of
from llmproxy.calls import Call
from llmproxy.config import CacheMode, GeneralSettings
from llmproxy.errors import ClientError
from llmproxy.operations import Caching, Replay
from llmproxy.record import CacheResult, CallRecord
from llmproxy.routing import Group

ROUNDING_S = 0.001  # of sums of seconds


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """A question under its key, and what its call wants of the cache.

    `form`: the key of the question in the form in which this call wants its answer. `usage`: the
    answer should tell it (a stream's call may not want it). `patient`: the call waits
    as long as the proxy does, so that others may rely on what it asks.
    """

    call: Call
    group: Group
    key: bytes
    form: bytes
    directives: CacheDirectives
    usage: bool
    patient: bool


class CachePolicy:
    """Knows what the operator wants to be remembered. `modes`: of groups that have their own."""

    __slots__ = ("_idle_s", "_mode", "_modes", "_per_caller", "_total_s")

    def __init__(self, settings: GeneralSettings, modes: Mapping[str, CacheMode]) -> None:
        params = settings.cache_params
        self._mode: CacheMode = params.mode if settings.cache else "off"
        self._modes = modes if settings.cache else {}
        scope = params.scope or ("per_caller" if settings.callers else "shared")
        self._per_caller = scope == "per_caller"
        self._idle_s = settings.timeouts.idle_s
        self._total_s = settings.timeouts.total_s

    def asked(self, call: Call, group: Group, record: CallRecord) -> Lookup | None:
        """What to look up and to remember; None = neither. Raises ClientError for an order that
        is none, and for one that cannot be kept."""
        mode = self._modes.get(group.name, self._mode)
        if mode == "off" or call.route.operation.caching is Caching.NEVER:
            return None
        directives = directives_of(call.headers)
        question = self._question_of(call, group, directives, mode)
        if question is None:
            if directives.order == b"only":
                raise not_cached()
            record.cache = CacheResult.BYPASS
            return None
        record.cache = CacheResult.MISS
        lasts_s = call.ends_at - call.received_at + ROUNDING_S
        patient = call.patience_s >= self._idle_s and lasts_s >= self._total_s
        usage = question.wants_usage or not call.stream
        form = question.key + (b"json" if not call.stream else b"+usage" if usage else b"events")
        return Lookup(call, group, question.key, form, directives, usage, patient)

    def _question_of(
        self, call: Call, group: Group, directives: CacheDirectives, mode: CacheMode
    ) -> CacheKey | None:
        body = call.body
        if (
            directives.order == b"bypass"
            or not isinstance(body, bytes)
            or not _may_be_cached(call, group)
        ):
            return None
        caller = call.caller if self._per_caller else None
        return cache_key_of(
            body,
            operation=call.route.path,
            model=call.model,
            query=call.query,
            scope=(group.name, caller or "", *directives.versions),
            chance=mode == "all" or directives.order in (b"force", b"only"),
        )


def not_cached() -> ClientError:
    """The error for a call that wants no other answer than one that is remembered."""
    # 504: RFC 9111, 5.2.1.7, of only-if-cached.
    return ClientError(
        "Nothing is remembered for this call, and x-llmproxy-cache: only asks nobody.",
        status=504,
        code="not_cached",
        param="x-llmproxy-cache",
    )


def _may_be_cached(call: Call, group: Group) -> bool:
    """Whether the answer can be repeated, and is not of the client's own account."""
    if call.account_bound or call.replay is not Replay.SAFE:
        return False
    for state in group.states:  # noqa: SIM110 - `any` costs half a microsecond
        if state.endpoint.takes_key_of(call):
            return False
    return True
