"""Settings of the whole proxy: `general_settings` and its timeouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

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
from llmproxy.config.sections import CacheParams, Caller, Queue, Team, Tracing


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
        description="The address to listen on. `0.0.0.0`: every interface; then every client "
        "that can reach the port can use your keys, unless there are `callers`.",
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
    health_check: Text = Field(
        default="free",
        description="How an endpoint that failed and gets no calls is checked, within 30 s. "
        "`free`: a `GET` of its list of models, with its own key; vendors charge nothing for it. A "
        "path such as `/health`: a `GET` of that path of its host. `off`: only calls find out "
        "whether it is back.",
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
    cache: bool = Field(
        default=False,
        description="Serve a repeated request from the cache instead of asking an endpoint again.",
    )
    cache_params: Annotated[CacheParams, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=CacheParams,
        description="What the cache stores, and for how long.",
    )
    admin_key: SecretStr | None = Field(
        default=None,
        description="The key for `/admin`, best as `os.environ/NAME`: sent as `Authorization: "
        "Bearer KEY`. Without it, `/admin` answers only to this machine (127.0.0.1, ::1), and to "
        "who sends the token that is printed at the start.",
    )
    exact_token_counts: bool = Field(
        default=False,
        description="Has no effect; if it is true, the log warns. Remove it: exact token counts "
        "were withdrawn, and estimates learn from the usage that vendors return.",
    )
    callers: tuple[Caller, ...] = Field(
        default=(),
        description="Who may call, with which key and how much. Default: every client that reaches "
        "the port. With callers, a client's key is never passed on: an endpoint without `api_key` "
        "gets no credential.",
    )
    teams: tuple[Team, ...] = Field(
        default=(), description="Teams of callers, whose members share limits and model groups."
    )
    budgets: tuple[Mapping[str, Any], ...] = Field(
        default=(), description="Budgets: `{for: {team: search}, usd: 200, per: month}`."
    )
    alerts: tuple[Mapping[str, SecretStr], ...] = Field(
        default=(), description="Webhooks, each as `{url: ..., secret: ..., format: slack}`."
    )
    keys_required: bool = Field(
        default=False,
        description="Serve no client without a key, also if there are no `callers`: then the "
        "keys of `llmproxy keys create` are the only ones.",
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(),
        description="Web pages that may call from a browser, by their origins: "
        '`[https://app.example.com]`; `"*"`: every page. They get CORS headers, and a preflight '
        "needs no key. Without `callers`, pages of other origins are refused, because they would "
        "use your keys; only a page that this machine serves may call a proxy on 127.0.0.1.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Host names by which clients reach the proxy, such as `llm.example.com`. "
        "Needed without `callers` if it listens on 127.0.0.1 and something in front passes on such "
        "a name: unknown names are refused, because a web page could reach the proxy by one (DNS "
        "rebinding). Addresses, `localhost` and names without a dot are never refused.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="A Redis or Valkey server through which all instances share limits and "
        "failures: `rediss://user:password@host:6379/0` (TLS), `redis://...` or `unix:///path`. "
        "Without it, and without `redis_host` and `redis_sentinels`, each instance counts on "
        "its own. Its password is never shown.",
    )
    redis_host: str | None = Field(
        default=None, description="The server's host, instead of `redis_url`."
    )
    redis_port: Annotated[int, Field(ge=1, le=65535), NUMBER] = Field(
        default=6379, description="The port at `redis_host`."
    )
    redis_username: Text | None = Field(
        default=None, description="The user at `redis_host` or behind `redis_sentinels`."
    )
    redis_password: SecretStr | None = Field(
        default=None,
        description="The password at `redis_host` or behind `redis_sentinels`, best as "
        "`os.environ/NAME`.",
    )
    redis_db: Annotated[int, Field(ge=0, le=1_000_000), NUMBER] = Field(
        default=0, description="The database number. A cluster has only 0."
    )
    redis_ssl: bool = Field(default=False, description="Use TLS for `redis_host` or the sentinels.")
    redis_sentinels: tuple[str, ...] = Field(
        default=(),
        description="Redis Sentinels that monitor the server, such as `[host:26379, ...]`; instead "
        "of `redis_host`. Needs `redis_sentinel_master`.",
    )
    redis_sentinel_master: Text | None = Field(
        default=None, description="The sentinels' name for the server, for example `mymaster`."
    )
    redis_cluster: bool = Field(
        default=False,
        description="The address is one node of a Redis Cluster; the other nodes are discovered.",
    )
    redis_namespace: str = Field(
        default="llmproxy",
        description="Prefix of all keys and channels. Instances with the same prefix share their "
        "state; different proxies on one server need different prefixes.",
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
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto`: text on a terminal, JSON otherwise."
    )
    access_log: bool = Field(
        default=True, description="One log line per call; never bodies, never keys."
    )
    log_steps: bool = Field(
        default=False,
        description="Add to each line of the access log how the call was routed: which endpoints "
        "were skipped and why, and how each attempt ended.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="Where calls, costs and keys are kept: `postgresql://user:password@host/db` "
        "(`pip install 'llmproxy[postgres]'`) or a path of a SQLite file; `off`: nowhere. Default: "
        "`llmproxy.sqlite` in STATE_DIRECTORY, XDG_STATE_HOME/llmproxy, ~/.local/state/llmproxy.",
    )
    call_keep_s: Seconds = Field(
        default=30 * 86400.0, description="Seconds after which the row of a call is deleted."
    )
    call_file: Text | None = Field(
        default=None,
        description="A SQLite file that keeps the trace of every call, so that "
        "`/admin/calls/{id}` and the dashboard find calls that are no longer in memory. No "
        "content, no keys; about 400 bytes a call. Workers may share it; instances may not.",
    )
    call_file_keep_s: Seconds = Field(
        default=7 * 86400.0, description="Seconds after which a call is deleted from `call_file`."
    )
    call_file_max_bytes: Annotated[int, Field(ge=MIB), NUMBER] = Field(
        default=1024 * MIB,
        description="Largest size of `call_file`. Then the oldest calls make room for the newest, "
        "and are counted as lost.",
    )
    state_file: Text | None = Field(
        default=None,
        description="A SQLite file that remembers which account keeps which file, batch or stored "
        "response, if no Redis server is shared. `off`: memory only. Default: `state.sqlite` in "
        "STATE_DIRECTORY, XDG_STATE_HOME/llmproxy or ~/.local/state/llmproxy.",
    )
    tracing: Tracing | None = Field(
        default=None,
        description="Send a span for each call and each attempt to an OpenTelemetry collector. "
        "Default: no tracing. Needs `pip install 'llmproxy[tracing]'`.",
    )
    reload_on_change: bool = Field(
        default=True,
        description="Load a changed config file within seconds if it is valid; calls under way "
        "go on. If false: only on SIGHUP or `POST /admin/reload`.",
    )
    expose_docs: bool = Field(
        default=True, description="Serve the documentation of the proxy's own paths at `/docs`."
    )


def shares_state(settings: GeneralSettings) -> bool:
    """Return whether a Redis server is configured through which instances share their state."""
    return bool(settings.redis_url or settings.redis_host or settings.redis_sentinels)


def server_settings(settings: GeneralSettings) -> dict[str, object]:
    """Return the settings that say where the Redis or Valkey server is, by their keys."""
    names = (name for name in type(settings).model_fields if name.startswith("redis_"))
    return {name: getattr(settings, name) for name in names}
