"""The sections of `general_settings` and of an endpoint that stand on their own."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic.functional_validators import AfterValidator

from llmproxy.config import checks
from llmproxy.config.base import (
    MIB,
    NUMBER,
    CacheMode,
    CallerKey,
    Count,
    Dollars,
    HeaderValues,
    KeyDigest,
    RedisName,
    Seconds,
    SecondsOrZero,
    Section,
    Text,
)

CollectorUrl = Annotated[str, AfterValidator(checks.collector_url)]


class Limits(Section):
    """At most so much, in any 60 s."""

    rpm: Count | None = Field(default=None, description="Requests in any 60 seconds.")
    tpm: Count | None = Field(
        default=None, description="Tokens in any 60 seconds, input and output together."
    )
    concurrent: Count | None = Field(
        default=None,
        description="Requests at a time; of several instances that share their "
        "state each has an even part, at least one.",
    )


class Price(Section):
    """What tokens cost, in US dollars per million."""

    input: Dollars = Field(description="Input tokens, in US dollars per million.")
    output: Dollars = Field(description="Output tokens, in US dollars per million.")
    cached_input: Dollars | None = Field(
        default=None,
        description="Input tokens from the vendor's prompt cache; without it as `input`.",
    )


class Queue(Section):
    """Waiting for room when the endpoints are full."""

    max_waiting: Annotated[int, Field(ge=0), NUMBER] = Field(
        default=1_000, description="Calls of one group that may wait; more get a 429 at once."
    )
    max_wait_s: SecondsOrZero = Field(
        default=10.0,
        description="Seconds that a call may wait. One that would wait longer gets a 429 at once, "
        "with the time when there will be room.",
    )
    spill_wait_s: SecondsOrZero = Field(
        default=1.0,
        description="Seconds that a call waits for a cheaper tier before it goes to a dearer one; "
        "0: not at all.",
    )
    heartbeat_s: Seconds | None = Field(
        default=None,
        description="Send a comment every so many seconds to a streaming client that waits, so "
        "that nobody between takes the silence for a failure. Its status is then 200 before an "
        "endpoint has answered: a later failure is told in the stream. Without it: silence.",
    )


class Caller(Section):
    """One caller: whoever shows its key."""

    name: Text = Field(description="What the caller is called in logs and metrics; unique.")
    key: CallerKey | None = Field(
        default=None,
        description="The caller's key, best as `os.environ/NAME`; only its SHA-256 is kept in use.",
    )
    key_sha256: KeyDigest | None = Field(
        default=None,
        description="Instead of `key`: the SHA-256 of the key, 64 hex digits "
        "(`printf %s KEY | sha256sum`). Only for keys that cannot be guessed.",
    )
    limits: Annotated[Limits, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Limits,
        description="What the caller may send at most. Without it: no limit.",
    )
    groups: tuple[Text, ...] | None = Field(
        default=None,
        min_length=1,
        description="The model groups that the caller may use. Without it: all.",
    )

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the caller's key; empty, and so equal to none, if it has no key."""
        if self.key is not None:
            return sha256(self.key.get_secret_value().encode()).digest()
        return bytes.fromhex(self.key_sha256 or "")


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


class Tracing(Section):
    """Where spans are sent, and of how many calls."""

    endpoint: CollectorUrl = Field(
        description="Where spans are sent: an OpenTelemetry collector, or whatever takes OTLP over "
        "HTTP, for example `http://127.0.0.1:4318`. Without a path, `/v1/traces` is added."
    )
    headers: HeaderValues = Field(
        default_factory=dict,
        description="Headers sent with them, for example `{authorization: os.environ/NAME}`. Their "
        "values count as secrets: they are never shown.",
    )
    service_name: Text = Field(
        default="llmproxy", description="What this proxy is called in traces (`service.name`)."
    )
    sample_ratio: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NUMBER] = Field(
        default=1.0,
        description="The share of the calls that are traced. A client that sends `traceparent` "
        "decides for itself whether its call is.",
    )

    def secret_headers(self) -> Mapping[str, str]:
        """The headers as they are sent."""
        return {name: value.get_secret_value() for name, value in self.headers.items()}
