"""The sections that only batteries read: callers, teams and operators, the cache, tracing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic.functional_validators import AfterValidator

from llmproxy.batteries.settings.tls import CertificateName
from llmproxy.config import Limits, checks
from llmproxy.config.base import (
    MIB,
    NUMBER,
    Alias,
    CacheMode,
    HeaderValues,
    Seconds,
    SecondsOrZero,
    Section,
    Text,
)


def _unix_time(text: str) -> float:
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _moment(text: str) -> str:
    """Check a date or a time."""
    try:
        _unix_time(text)
    except (ValueError, OverflowError):
        checks.refuse(
            f"found {text!r}, which is no date and no time.",
            "Write 2027-01-31, or 2027-01-31T18:00Z.",
        )
    return text


class Team(Section):
    """Callers that share limits and model groups."""

    name: Text = Field(description="The name in logs and metrics; unique.")
    limits: Annotated[Limits, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Limits,
        description="Upper bounds of what may be sent. Default: no limit.",
    )
    groups: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="The model groups that may be used. Default: all."
    )
    budget: float | str | tuple[float | str, ...] | None = Field(
        default=None, description="What may be used: `200/month` (dollars), `5000000 tokens/day`."
    )


class Caller(Team):
    """An identity behind a client key, with its limits and model groups."""

    key: SecretStr | None = Field(
        default=None,
        description="The caller's key, best as `os.environ/NAME`. Clients' keys are compared "
        "with its SHA-256 only.",
    )
    cost_header: bool | None = Field(
        default=None,
        description="Whether the caller is told in `x-llmproxy-cost-usd` what its calls cost. "
        "Default: as `general_settings.cost_header`.",
    )
    key_sha256: str | None = Field(
        default=None,
        description="Instead of `key`: the SHA-256 of the key, 64 hex digits (`printf %s KEY | "
        "sha256sum`). Use it for random keys only: a short key can be guessed from its hash.",
    )
    certificates: tuple[CertificateName, ...] = Field(
        default=(),
        description="Names in client certificates that stand for the caller, beside or instead of "
        "a key: `URI:spiffe://example.org/search`, `DNS:search.example.com`, `CN:search` or "
        "`sha256:DIGITS`. Needs `tls.client_ca`. A key that a client sends precedes.",
    )
    aliases: Mapping[Alias, Text] = Field(
        default_factory=dict, description="The caller's own names for groups: `{smart: gpt-4.1}`."
    )
    team: Text | None = Field(
        default=None, description="The caller's team; its limits and groups hold as well."
    )
    tags: tuple[Text, ...] = Field(default=(), description="Labels of all calls of the caller.")
    expires_at: Annotated[Text, AfterValidator(_moment)] | None = Field(
        default=None,
        description="When the key ends: `2027-01-31` (the beginning of that day, in UTC) or "
        "`2027-01-31T18:00Z`. Default: never.",
    )

    @property
    def valid_until(self) -> float | None:
        """When the key ends, in Unix seconds; None: never."""
        return None if self.expires_at is None else _unix_time(self.expires_at)


class Operator(Section):
    """Somebody who may use `/admin`."""

    name: Text = Field(description="The name in the audit; unique.")
    key: SecretStr | None = Field(default=None, description="The key, best as `os.environ/NAME`.")
    key_sha256: str | None = Field(default=None, description="Instead of `key`: its SHA-256.")
    role: Literal["admin", "viewer", "team"] = Field(
        default="viewer",
        description="`viewer`: reads. `admin`: also changes. `team`: reads what is of its `team`.",
    )
    team: Text | None = Field(default=None, description="The team, for the role `team`.")


class CacheParams(Section):
    """Which answers are cached, where, and for how long."""

    type: Literal["memory", "redis", "disk"] = Field(
        default="memory",
        description="`memory`: in this process; each worker and each instance has its own. "
        "`redis`: also in the server of `redis_url` (or `redis_host`, `redis_sentinels`), for all "
        "instances. `disk`: also in the file `path`, for all processes of one machine.",
    )
    mode: CacheMode = Field(
        default="deterministic",
        description="`deterministic`: cache embeddings, moderations and rerank, and other calls "
        "with `temperature: 0` or a `seed`. `all`: cache all other calls too. `off`: cache "
        "nothing. A group (`cache`) and a call (`x-llmproxy-cache`) override it.",
    )
    ttl: Seconds = Field(
        default=604_800.0,
        description="Seconds for which a cached answer is fresh. Default: 7 days.",
    )
    stale_while_revalidate_s: SecondsOrZero = Field(
        default=0.0,
        description="Seconds after `ttl` in which a stale answer is served at once, while a new "
        "one is fetched in the background.",
    )
    stale_if_error_s: SecondsOrZero = Field(
        default=0.0,
        description="Seconds after `ttl` in which a stale answer is served if no endpoint can "
        "answer.",
    )
    max_bytes: Annotated[int, Field(ge=MIB), NUMBER] = Field(
        default=256 * MIB,
        description="Memory for cached answers, in bytes per process. Beyond it, the least "
        "recently used answers are evicted.",
    )
    scope: Literal["shared", "per_caller"] | None = Field(
        default=None,
        description="`per_caller`: a caller never gets an answer that another caller asked for. "
        "Default: `per_caller`; without callers and keys, all share.",
    )
    namespace: str | None = Field(
        default=None,
        description="Prefix of the cache keys in Redis (`type: redis`). Proxies with the same "
        "prefix share their answers. Default: `redis_namespace`.",
    )
    across_instances: bool = Field(
        default=False,
        description="With `type: redis`: if another instance is already asking for the same "
        "answer, wait for that answer instead of asking again; a stream then begins when the "
        "answer is complete. Each miss costs a round trip to the server.",
    )
    path: Text | None = Field(
        default=None,
        description="The file of `type: disk`, for example `/var/cache/llmproxy/answers.sqlite3`.",
    )
    max_disk_bytes: Annotated[int, Field(ge=MIB), NUMBER] = Field(
        default=1024 * MIB, description="Upper bound of the file's answers, in bytes."
    )


class ConnectionPool(Section):
    """The connections to endpoints."""

    warm: Annotated[int, Field(ge=0, le=1_000), NUMBER] = Field(
        default=0,
        description="Connections to the host of an endpoint that are kept open while no call uses "
        "them: as many as calls have used at once in the last 10 minutes, at most so many. A call "
        "after a pause then waits for no connection and no TLS handshake. 0: connections are "
        "closed `timeouts.upstream_idle_s` after their last call.",
    )


class Tracing(Section):
    """Where spans are sent, and for which share of calls."""

    endpoint: str = Field(
        description="Where spans are sent: an OpenTelemetry collector, or anything else that "
        "accepts OTLP over HTTP, for example `http://127.0.0.1:4318`. If the URL has no path, "
        "`/v1/traces` is added."
    )
    headers: HeaderValues = Field(
        default_factory=dict,
        description="Headers sent with the spans, for example `{authorization: os.environ/NAME}`. "
        "Their values are secrets and are never shown.",
    )
    service_name: Text = Field(
        default="llmproxy", description="The name of this proxy in traces (`service.name`)."
    )
    sample_ratio: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NUMBER] = Field(
        default=1.0,
        description="The share of calls that are traced. A client that sends `traceparent` decides "
        "for its own call.",
    )
