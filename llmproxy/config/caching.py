"""What is remembered of answers: `cache_params`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llmproxy.config.base import (
    MIB,
    NUMBER,
    CacheMode,
    RedisName,
    Seconds,
    SecondsOrZero,
    Section,
    Text,
)


class CacheParams(Section):
    """What is remembered, where and for how long."""

    type: Literal["memory", "redis", "disk"] = Field(
        default="memory",
        description="`memory`: in this process; each worker and each instance has its own. "
        "`redis`: there, and in the server of `redis_url` (or `redis_host`, `redis_sentinels`) for "
        "all instances. `disk`: there, and in the file `path` for all processes of one machine.",
    )
    mode: CacheMode = Field(
        default="deterministic",
        description="`deterministic`: embeddings, moderations and rerank, and of the others what "
        "has `temperature: 0` or a `seed`. `all`: everything else, too. `off`: nothing. A group "
        "(`cache`) and a call (`x-llmproxy-cache`) may say otherwise.",
    )
    ttl: Seconds = Field(
        default=604_800.0, description="For how many seconds an answer is given again: 7 days."
    )
    stale_while_revalidate_s: SecondsOrZero = Field(
        default=0.0,
        description="For so many seconds more an old answer is given at once, and a new one is "
        "asked for behind it.",
    )
    stale_if_error_s: SecondsOrZero = Field(
        default=0.0,
        description="For so many seconds after `ttl` an old answer is given when no endpoint can "
        "answer.",
    )
    max_bytes: Annotated[int, Field(ge=MIB), NUMBER] = Field(
        default=256 * MIB,
        description="Memory for all answers, in bytes, for each process. Beyond it, those are "
        "forgotten that were not asked for the longest time.",
    )
    scope: Literal["shared", "per_caller"] | None = Field(
        default=None,
        description="`per_caller`: nobody is given what another caller asked for. Without it: "
        "`per_caller` if there are `callers`.",
    )
    namespace: RedisName | None = Field(
        default=None,
        description="How the keys of answers begin with `type: redis`. Proxies with the same one "
        "share their answers. Without it: `redis_namespace`.",
    )
    across_instances: bool = Field(
        default=False,
        description="With `type: redis`: what another instance is asking is not asked here, too; "
        "the call waits for that answer, and a stream begins when it is complete. Costs each miss "
        "a round trip to the server.",
    )
    path: Text | None = Field(
        default=None,
        description="The file of `type: disk`, for example `/var/cache/llmproxy/answers.sqlite3`.",
    )
    max_disk_bytes: Annotated[int, Field(ge=MIB), NUMBER] = Field(
        default=1024 * MIB, description="The most that the answers take in the file, in bytes."
    )
