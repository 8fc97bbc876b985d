"""What was answered before: looked up before the attempts, remembered after the answer.

Only whole answers are remembered, and only of calls whose answer depends on nothing but the call
(rules/caching.py). Streaming calls are not looked up yet. A call that brings the key of its own
account is nobody else's business: its group is left out.
"""

from __future__ import annotations

from time import monotonic

import msgspec

from llmproxy.adapters.memory_cache import MemoryCache, Remembered
from llmproxy.calls import Accepted, Call, Downstream, Headers, Replay, Trail
from llmproxy.config import GeneralSettings
from llmproxy.errors import ClientError
from llmproxy.pool import Group
from llmproxy.rules.caching import OPERATIONS, Question, is_whole, question_of
from llmproxy.rules.encoding import readable

ORDERS = frozenset((b"bypass", b"refresh", b"force", b"only"))
# They choose among versions of an API, and so decide of the answer.
VERSIONS = frozenset((b"openai-beta", b"anthropic-beta", b"anthropic-version"))
TELLING = VERSIONS | {b"x-llmproxy-cache", b"cache-control"}
MAX_ANSWER_BYTES = 8 * 1024 * 1024


class Wish(msgspec.Struct, gc=False):
    """What a call's headers say. `max_age_s`: an older answer is none."""

    order: bytes = b""
    reads: bool = True
    writes: bool = True
    max_age_s: float = float("inf")
    versions: tuple[str, ...] = ()


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A question under its key, and what its call wants of the cache."""

    key: bytes
    wish: Wish


class Cache:
    """The step of the story; without `cache` in the config it does nothing."""

    __slots__ = ("_all", "_memory", "_per_caller")

    def __init__(self, settings: GeneralSettings) -> None:
        params = settings.cache_params
        self._memory: MemoryCache | None = None
        if settings.cache:
            self._memory = MemoryCache(max_bytes=params.max_bytes, ttl_s=params.ttl)
        self._all = params.mode == "all"
        scope = params.scope or ("per_caller" if settings.callers else "shared")
        self._per_caller = scope == "per_caller"

    def asked(self, call: Call, group: Group, trail: Trail) -> Asked | None:
        """What to look up and to remember; None = neither. Raises ClientError for an order that
        is none."""
        if self._memory is None or call.route.operation not in OPERATIONS:
            return None
        wish = _wish_of(call.headers)
        question = self._question_of(call, group, wish)
        if question is None:
            if wish.order == b"only":
                raise _nothing_remembered()
            trail.cache = "bypass"
            return None
        trail.cache = "miss"
        return Asked(question.key, wish)

    def replayed(self, asked: Asked, call: Call, client: Downstream, trail: Trail) -> bool:
        """Give the answer that is remembered, if there is one. Raises ClientError where the call
        wants no other and there is none."""
        now = monotonic()
        found = self._found(asked, now)
        if found is None:
            if asked.wish.order == b"only":
                raise _nothing_remembered()
            return False
        trail.cache = "hit"
        trail.status = 200
        trail.first_byte_at = now
        headers: Headers = [
            (b"content-type", found.content_type),
            *(trail.limit_headers or ()),
            (b"age", b"%d" % (now - found.stored_at)),
            (b"x-llmproxy-cache", b"hit"),
            (b"x-request-id", call.id.encode("latin-1")),
        ]
        client.start(200, headers, length=len(found.body))
        client.write(found.body)
        client.finish()
        return True

    def remember(self, asked: Asked, accepted: Accepted, trail: Trail) -> None:
        """Keep an answer that has been relayed, if it is one to be given again."""
        response = accepted.response
        content = response.content
        if not (asked.wish.writes and self._memory is not None) or response.status != 200:
            return
        if trail.fallback is not None or not (response.exhausted and content.json):
            return
        body: bytes | None = accepted.held
        if content.encoding:
            body = readable(accepted.held, content.encoding, max_bytes=MAX_ANSWER_BYTES)
        if body and is_whole(body, accepted.call.route.operation):
            kind = dict(response.headers).get(b"content-type", b"application/json")
            self._memory.put(asked.key, Remembered(kind, body, monotonic()))

    def _question_of(self, call: Call, group: Group, wish: Wish) -> Question | None:
        body = call.body
        if (
            wish.order == b"bypass"
            or not isinstance(body, bytes)
            or not _may_be_cached(call, group)
        ):
            return None
        caller = call.caller if self._per_caller else None
        question = question_of(
            body,
            operation=call.route.operation,
            model=call.model,
            query=call.query,
            scope=(group.name, caller or "", *wish.versions),
        )
        wanted = self._all or wish.order in (b"force", b"only")
        return question if question is not None and (wanted or question.deterministic) else None

    def _found(self, asked: Asked, now: float) -> Remembered | None:
        if self._memory is None or not asked.wish.reads:
            return None
        found = self._memory.get(asked.key, now)
        return None if found is None or now - found.stored_at > asked.wish.max_age_s else found


def _may_be_cached(call: Call, group: Group) -> bool:
    """Whether the answer comes whole, can be repeated, and is not of the client's own account."""
    if call.stream or call.account_bound or call.replay is not Replay.SAFE:
        return False
    return not any(state.endpoint.takes_key_of(call) for state in group.states)


def _wish_of(headers: Headers) -> Wish:
    """Read `x-llmproxy-cache` and the client's `Cache-Control` (RFC 9111, 5.2.1)."""
    wish = Wish()
    for name, value in headers:
        if name not in TELLING:
            continue
        if name == b"x-llmproxy-cache":
            wish.order = value.lower()
            if wish.order not in ORDERS:
                raise ClientError(
                    "Expected 'bypass', 'refresh', 'force' or 'only' in x-llmproxy-cache, found "
                    f"'{value.decode('latin-1')}'.",
                    param="x-llmproxy-cache",
                )
            wish.reads &= wish.order != b"refresh"
        elif name == b"cache-control":
            for part in value.lower().split(b","):
                _obey(wish, *part.strip().partition(b"=")[::2])
        else:
            wish.versions += (f"{name.decode()}:{value.decode('latin-1')}",)
    return wish


def _obey(wish: Wish, directive: bytes, argument: bytes) -> None:
    if directive == b"no-store":
        wish.writes = False
    elif directive == b"no-cache":
        wish.reads = False
    elif directive == b"max-age" and argument.isdigit():
        wish.max_age_s = float(argument)


def _nothing_remembered() -> ClientError:
    # 504: RFC 9111, 5.2.1.7, of only-if-cached.
    return ClientError(
        "Nothing is remembered for this call, and x-llmproxy-cache: only asks nobody.",
        status=504,
        code="not_cached",
        param="x-llmproxy-cache",
    )
