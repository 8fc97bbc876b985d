"""What is remembered of answers: `cache_params`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llmproxy.config.base import MIB, NUMBER, Seconds, Section


class CacheParams(Section):
    """What is remembered, where and for how long."""

    type: Literal["memory"] = Field(
        default="memory",
        description="`memory`: in this process; each worker and each instance has its own.",
    )
    mode: Literal["deterministic", "all"] = Field(
        default="deterministic",
        description="`deterministic`: embeddings, moderations and rerank, and of the others what "
        "has `temperature: 0` or a `seed`. `all`: everything else, too. A call may say otherwise "
        "(`x-llmproxy-cache`).",
    )
    ttl: Seconds = Field(
        default=604_800.0, description="For how many seconds an answer is given again: 7 days."
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
