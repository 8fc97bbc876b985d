"""`general_settings` with the keys that only batteries read.

The core's own keys are in `llmproxy.config`. A battery that reads a key of its own calls `full`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic.functional_validators import AfterValidator

from llmproxy.batteries.settings.addresses import Network, database_address, file_mode
from llmproxy.batteries.settings.identity import Jwt, SignIn
from llmproxy.batteries.settings.money import AlertTarget, BudgetEntry
from llmproxy.batteries.settings.sections import (
    CacheParams,
    Caller,
    ConnectionPool,
    Operator,
    Team,
    Tracing,
)
from llmproxy.batteries.settings.tls import TlsSettings
from llmproxy.config import Config, GeneralSettings, checks
from llmproxy.config.base import MIB, NUMBER, Seconds, Text

# A key -> the package of the battery that it needs, and the field of `serving.Batteries`.
_NEEDS = {
    "callers": ("callers", "callers"),
    "teams": ("callers", "callers"),
    "keys_required": ("callers", "callers"),
    "alerts": ("alerts", "alerts"),
    "budgets": ("budgets", "budgets"),
    "cache": ("cache", "caches"),
    "tracing": ("telemetry", "telemetry"),
    "database_url": ("store", "open_store"),
    "state_file": ("owners", "owners"),
    "allowed_origins": ("web_pages", "web_pages"),
    "allowed_hosts": ("web_pages", "web_pages"),
    "admin_key": ("admin", "open_admin"),
    "price_list": ("price_list", "price_list"),
    "cost_header": ("spend", "pricing"),
    "operators": ("admin", "open_admin"),
    "metrics_need_key": ("admin", "open_admin"),
    "jwt": ("oidc", "oidc"),
    "tls": ("tls", "front"),
    "proxy_protocol": ("front", "front"),
    "forwarded_allow_ips": ("front", "front"),
    "sign_in": ("oidc", "oidc"),
    "litellm_habits": ("litellm_habits", "litellm_habits"),
}


class FullSettings(GeneralSettings):
    """Settings of the whole proxy, those of batteries included."""

    tls: TlsSettings | None = Field(
        default=None,
        description="Serve HTTPS: `{cert: /etc/llmproxy/tls.crt, key: /etc/llmproxy/tls.key}`. "
        "TLS 1.2 and 1.3, HTTP/1.1. Default: HTTP.",
    )
    proxy_protocol: tuple[Network, ...] = Field(
        default=(),
        description="Load balancers whose connections begin with a PROXY header (v1 or v2), which "
        "names the client: addresses, networks (`10.0.0.0/8`), `unix` for UNIX sockets. Every "
        "connection from them must begin with it.",
    )
    forwarded_allow_ips: tuple[Network, ...] = Field(
        default=(),
        description="Proxies whose `forwarded_header` names the client: addresses, networks, "
        "`unix`. The client is the last one in it that is not one of these. Of others the header "
        "changes nothing.",
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for",
        description="The header that the proxies in front write. The other one is not read: a "
        "client could write it, and a proxy would pass it on.",
    )
    unix_socket_mode: Annotated[str, BeforeValidator(file_mode)] = Field(
        default="0660",
        description='The mode of the UNIX socket of `bind_address`, in octal digits: `"0660"` lets '
        "the user and the group of the proxy connect.",
    )
    health_check: Text = Field(
        default="free",
        description="How an endpoint that failed and gets no calls is checked, within 30 s. "
        "`free`: a `GET` of its list of models, with its own key; vendors charge nothing for it. A "
        "path such as `/health`: a `GET` of that path of its host. `off`: only calls find out "
        "whether it is back.",
    )
    pool: Annotated[ConnectionPool, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=ConnectionPool,
        description="Which connections to endpoints stay open while no call uses them.",
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
        "Bearer KEY`. Without it, `operators` and `sign_in`, `/admin` answers only to this machine "
        "(127.0.0.1, ::1), and to clients that send the token that is printed at the start.",
    )
    operators: tuple[Operator, ...] = Field(
        default=(), description="Who may use `/admin` beside the `admin_key`, each with a role."
    )
    metrics_need_key: bool = Field(
        default=False,
        description="Answer `/metrics`, which shows costs by caller and team, only to the "
        "`admin_key` and the keys of operators that may read everything.",
    )
    sign_in: SignIn | None = Field(
        default=None,
        description="Where operators sign in to `/admin` by OpenID Connect. Needs `pip install "
        "'llmproxy-gateway[jwt]'`.",
    )
    jwt: Jwt | None = Field(
        default=None,
        description="Tokens (JWT) that callers may send instead of keys. Needs `pip install "
        "'llmproxy-gateway[jwt]'`.",
    )
    callers: tuple[Caller, ...] = Field(
        default=(),
        description="Who may call, with which key and how much. Default: every client that reaches "
        "the port, unless `keys_required` or `jwt` is set. With callers, a client's key is never "
        "passed on: an endpoint without `api_key` gets no credential.",
    )
    teams: tuple[Team, ...] = Field(
        default=(), description="Teams of callers, whose members share limits and model groups."
    )
    budgets: tuple[BudgetEntry, ...] = Field(
        default=(),
        description="What calls may cost, such as `{for: {team: search}, usd: 200, per: month}`.",
    )
    alerts: tuple[AlertTarget, ...] = Field(
        default=(),
        description="Webhooks that are told of budgets, endpoints, spend and keys that end.",
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
    cost_header: bool = Field(
        default=False,
        description="Tell clients in `x-llmproxy-cost-usd` what their calls cost. Not in streams, "
        "in answers above 256 KiB, and in those of the cache. `callers[].cost_header` precedes it.",
    )
    price_list: Text | None = Field(
        default=None,
        description="A JSON file with list prices, in the format of `genai-prices`: a list of "
        "providers with their models. What it does not have is in the installed list; a `price` "
        "of an endpoint precedes both. It is read when the config is loaded.",
    )
    stream_usage: Literal["estimate", "ask"] = Field(
        default="estimate",
        description="The tokens of streams whose clients do not ask for their usage. `estimate`: "
        "from the bytes that went through. `ask`: the endpoint is asked for the usage, which is "
        "taken out of the stream again.",
    )
    database_url: Annotated[SecretStr, AfterValidator(database_address)] | None = Field(
        default=None,
        description="Where calls, costs and keys are kept: `postgresql://user:password@host/db` "
        "(`pip install 'llmproxy-gateway[postgres]'`) or a path of a SQLite file; `off`: nowhere. "
        "Default: `llmproxy.sqlite` in STATE_DIRECTORY, XDG_STATE_HOME/llmproxy, "
        "~/.local/state/llmproxy.",
    )
    call_keep_s: Seconds = Field(
        default=30 * 86400.0, description="Seconds after which the row of a call is deleted."
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
        "Default: no tracing.",
    )
    reload_on_change: bool = Field(
        default=True,
        description="Load a changed config file within seconds if it is valid; calls under way "
        "go on. If false: only on SIGHUP or `POST /admin/reload`.",
    )
    litellm_habits: bool = Field(
        default=False,
        description="Serve LiteLLM's clients and scripts as they are: answer `/model/info`, "
        "`/key/info`, `/key/generate` and others, add headers such as `x-litellm-call-id`, and "
        "understand its request headers and members: see docs/reference/litellm-habits.md. Its "
        "probes, `/health/liveliness` and `/health/readiness`, are always answered.",
    )
    expose_docs: bool = Field(
        default=True, description="Serve the documentation of the proxy's own paths at `/docs`."
    )

    # What follows is withdrawn: it is read, and has no effect.
    exact_token_counts: bool = Field(
        default=False,
        description="Has no effect; if it is true, the log warns. Remove it: exact token counts "
        "were withdrawn, and estimates learn from the usage that vendors return.",
    )
    call_file: Text | None = Field(
        default=None,
        description="Has no effect; if it is set, the log warns. Remove it: calls are kept in the "
        "database of `database_url`, for `call_keep_s`.",
    )
    call_file_keep_s: Seconds | None = Field(
        default=None, description="Has no effect, as `call_file`: write `call_keep_s`."
    )
    call_file_max_bytes: Annotated[int, Field(ge=MIB), NUMBER] | None = Field(
        default=None, description="Has no effect, as `call_file`: write `call_keep_s`."
    )

    @property
    def keys_are_required(self) -> bool:
        """Whether no client is served without a key or a token."""
        return self.keys_required or bool(self.callers or self.jwt)

    @property
    def is_closed_by_tls(self) -> bool:
        """Whether only clients with a certificate can connect."""
        return self.tls is not None and self.tls.admits_by_certificate

    @property
    def admin_is_open(self) -> bool:
        """Whether programs on this machine use `/admin` without a key, because nobody has one."""
        return self.admin_key is None and not self.operators and self.sign_in is None

    def needs(self) -> Iterator[tuple[str, str, str]]:
        """Yield each key that needs a battery, with the battery's package and its field."""
        for key, (package, field) in _NEEDS.items():
            if getattr(self, key):
                yield key, package, field
        if shares_state(self):
            yield "redis_*", "shared_state", "connector"
        if self.stream_usage == "ask":
            yield "stream_usage", "stream_usage", "translation"
        if self.pool.warm:
            yield "pool.warm", "warm_connections", "warm_connections"
        if "health_check" in self.model_fields_set and self.health_check != "off":
            yield "health_check", "health_checks", "health_checks"


class FullConfig(Config):
    """A whole configuration, checked and frozen."""

    general_settings: Annotated[FullSettings, BeforeValidator(checks.nothing_is_empty)] = Field(
        default_factory=FullSettings,
        description="Settings of the whole proxy; may be left out.",
    )


def full(settings: GeneralSettings) -> FullSettings:
    """Return settings with the keys of batteries: the defaults, if the core's alone were given."""
    if isinstance(settings, FullSettings):
        return settings
    return FullSettings.model_construct(settings.model_fields_set, **dict(settings))


def shares_state(settings: FullSettings) -> bool:
    """Return whether a Redis server is configured through which instances share their state."""
    return bool(settings.redis_url or settings.redis_host or settings.redis_sentinels)


def server_settings(settings: FullSettings) -> dict[str, object]:
    """Return the settings that say where the Redis or Valkey server is, by their keys."""
    names = (name for name in type(settings).model_fields if name.startswith("redis_"))
    return {name: getattr(settings, name) for name in names}
