"""Settings of the whole proxy that the core reads: `general_settings` and its timeouts.

Those of batteries stand beside them, in `llmproxy.batteries.settings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from llmproxy.config import checks
from llmproxy.config.base import (
    MIB,
    NUMBER,
    STRATEGY_HELP,
    Affinity,
    OnUntranslatable,
    Seconds,
    SecondsOrZero,
    Section,
    Strategy,
    Text,
)
from llmproxy.config.sections import Queue


class Timeouts(Section):
    """Upper bounds of each kind of waiting, in seconds."""

    connect_s: Seconds = Field(
        default=5.0,
        description="Connecting to an endpoint, TLS included. Short, so that another endpoint is "
        "tried soon.",
    )
    pool_s: Seconds = Field(
        default=2.0, description="Waiting for a free connection of an endpoint's pool."
    )
    first_byte_s: Seconds | None = Field(
        default=None,
        description="From the request to the first byte of a streamed answer; then the attempt has "
        "failed. Default: an endpoint that is silent is waited for, and another is asked beside it "
        "(`hedge`).",
    )
    unary_first_byte_s: Seconds | None = Field(
        default=None, description="The same for an answer that is not streamed."
    )
    idle_s: Seconds = Field(
        default=300.0,
        description="Silence between two pieces of an answer, from its first content on. Before, "
        "reasoning models may be silent for long.",
    )
    total_s: Seconds = Field(
        default=3600.0,
        description="From a request to the beginning of its answer, with all attempts and waits, "
        "for clients that set no timeout of their own (the SDKs do: 600 s by default). An answer "
        "that has begun may take longer, as long as `idle_s` is kept.",
    )
    header_s: Seconds = Field(
        default=10.0, description="Receiving a client's request headers, from first to last."
    )
    body_progress_s: Seconds = Field(
        default=30.0, description="Silence while a client sends its request body."
    )
    keep_alive_s: Seconds = Field(
        default=75.0,
        description="How long an idle client connection stays open. More than nginx's 60, so "
        "that an nginx in front closes first.",
    )
    upstream_idle_s: Seconds = Field(
        default=15.0,
        description="How long an idle connection to an endpoint is kept. Short, so that a "
        "connection that the endpoint is about to close is rarely used.",
    )


class GeneralSettings(Section):
    """Settings of the whole proxy."""

    bind_address: Text = Field(
        default="127.0.0.1",
        description="The address to listen on. `0.0.0.0`, `::`: every interface; then every client "
        "that can reach the port can use your keys, unless there are `callers`. "
        "`unix:/run/llmproxy/llmproxy.sock`: a UNIX socket.",
    )
    bind_port: Annotated[int, Field(ge=0, le=65535), NUMBER] = Field(
        default=4000, description="The port to listen on. 0: any free one."
    )
    num_retries: Annotated[int, Field(ge=0, le=100), NUMBER] = Field(
        default=3,
        description="Further attempts after the first, each at another endpoint if there is one.",
    )
    hedge: Literal["auto", "off"] = Field(
        default="auto",
        description="Whether a second attempt begins beside one that is silent for longer than is "
        "usual for its endpoint; the first that answers wins. Only at an endpoint that has "
        "capacity, and never for calls that may not be sent twice.",
    )
    hedge_budget: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NUMBER] = Field(
        default=0.05, description="The largest share of a group's calls that are hedged."
    )
    hedge_after_s: Seconds | None = Field(
        default=None,
        description="Seconds of silence after which a second attempt begins. Default: learned for "
        "each endpoint, at least 2 s, and 120 s for calls that reason.",
    )
    allowed_fails: Annotated[int, Field(ge=1), NUMBER] = Field(
        default=3, description="Consecutive failures that start a cooldown of the endpoint."
    )
    cooldown_time: SecondsOrZero = Field(
        default=60.0,
        description="Seconds for which a failed endpoint cools down. A `retry-after` of the "
        "endpoint and repeated failures adjust it.",
    )
    on_untranslatable: OnUntranslatable = Field(
        default="refuse",
        description="What to do when a call is translated and the endpoint's dialect has no way to "
        "say a member of it. `refuse`: do not ask this endpoint. `drop`: leave the member out, and "
        "name it in the header `x-llmproxy-dropped`.",
    )
    strategy: Strategy = Field(
        default="weighted",
        description="How an endpoint is chosen within a tier: "
        + ", ".join(f"`{name}` {does}" for name, does in STRATEGY_HELP.items())
        + ".",
    )
    affinity: Affinity = Field(
        default="prompt_cache",
        description="Which calls prefer the endpoint that served their conversation last, while it "
        "has room. `prompt_cache`: those whose prompt is long enough for the vendor's cache. "
        "`session`: also short ones; a session or a user counts as a conversation. `off`: none.",
    )
    queue: Annotated[Queue, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Queue, description="Waiting for capacity at an endpoint."
    )
    timeouts: Annotated[Timeouts, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=Timeouts, description="How long each kind of waiting may take."
    )
    max_body_bytes: Annotated[int, Field(ge=1024), NUMBER] = Field(
        default=32 * MIB,
        description="Largest request body in bytes, after decompression; larger ones get a 413. "
        "Multipart uploads are streamed and have a bound of their own.",
    )
    max_upload_bytes: Annotated[int, Field(ge=1024), NUMBER] | None = Field(
        default=512 * MIB,
        description="Largest multipart upload in bytes; `null`: the endpoint decides. Uploads "
        "above 1 MiB are kept in the temporary folder (TMPDIR) while their calls last.",
    )
    max_header_bytes: Annotated[int, Field(ge=1024), NUMBER] = Field(
        default=64 * 1024, description="Largest request head (request line and headers) in bytes."
    )
    max_in_flight: Annotated[int, Field(ge=1), NUMBER] = Field(
        default=10_000,
        description="Calls under way at once. Further calls wait or get a 503, so that overload "
        "does not exhaust the memory.",
    )
    max_queued: Annotated[int, Field(ge=0), NUMBER] = Field(
        default=1_000, description="Calls that may wait when `max_in_flight` is reached."
    )
    drain_delay_s: SecondsOrZero = Field(
        default=5.0,
        description="Seconds from a stop signal, when `/readyz` begins to answer 503, until the "
        "proxy stops accepting connections: load balancers need this time to notice.",
    )
    drain_timeout_s: SecondsOrZero = Field(
        default=600.0,
        description="Seconds for which calls under way may finish after a stop signal.",
    )

    def needs(self) -> Iterator[tuple[str, str, str]]:
        """Yield keys that need a battery, with its package and its field of `serving.Batteries`."""
        yield from ()
