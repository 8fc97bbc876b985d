"""Where the shared view lives: a client of Redis or Valkey from the settings, not yet connected.

redis-py's own defaults (5 s, ten retries) would hang together with their server: here nothing is
tried twice, and whoever asks sets the time (`patience`). What is told of an address never holds a
password.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from llmproxy.config import GeneralSettings
from llmproxy.errors import ConfigError, Problem

Client: TypeAlias = "Redis | RedisCluster"
Options: TypeAlias = dict[str, Any]  # as redis-py takes them

CONNECT_S = 0.2
OPERATION_S = 0.1
SENTINEL_PORT = 26379
MAX_WHY = 200


def in_words(error: Exception, secrets: Collection[str]) -> str:
    """What went wrong, for the operator: one line, without secrets; "" if it says nothing."""
    # A script's error ends in where it happened, which is nobody's business.
    why = str(error).partition("\n")[0].partition(" script: ")[0]
    for secret in secrets:
        why = why.replace(secret, "***")
    return why[:MAX_WHY]


async def give_up_idle(client: Client) -> None:
    """Close connections that nobody uses: the server's address may lead to another one by now, and
    one that is gone without a word keeps them open."""
    if isinstance(client, Redis):
        await client.connection_pool.disconnect(inuse_connections=False)


def patience(*, connected: bool) -> asyncio.Timeout:
    """How long an operation may take; longer if it may have to connect first.

    In place of redis-py's `socket_timeout`, which makes a task of every write, and on Python 3.11
    loses a cancellation now and then (asyncio.wait_for did).
    """
    return asyncio.timeout(OPERATION_S if connected else CONNECT_S + OPERATION_S)


def client_of(settings: GeneralSettings) -> Client:
    """A client of the server, the sentinels' master or the cluster that the settings name.

    Raises ConfigError if redis-py cannot use them. The caller closes it.
    """
    try:
        options = _login(settings) | _short()
        if settings.redis_cluster:
            return _cluster(options)
        if settings.redis_sentinels:
            return _master(settings, options)
        client = Redis.from_pool(ConnectionPool(**options))
        # Made and thrown away: it complains of options that do not exist.
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (TypeError, ValueError, RedisError) as error:
        problem = Problem(
            "general_settings.redis_url",
            0,
            f"redis-py cannot use it: {error}.",
            "Write it as rediss://user:password@host:6379/0.",
        )
        raise ConfigError([problem]) from error
    return client


def shown(settings: GeneralSettings) -> str:
    """The address for logs and /health: no user, no password, no options."""
    if settings.redis_sentinels:
        return f"{settings.redis_sentinel_master} at {', '.join(settings.redis_sentinels)}"
    if settings.redis_url is None:
        return f"{settings.redis_host}:{settings.redis_port}"
    url = urlsplit(settings.redis_url.get_secret_value())
    return url.path if url.scheme == "unix" else f"{url.hostname}:{url.port or 6379}"


def secrets_of(settings: GeneralSettings) -> frozenset[str]:
    """What must not be told, in case redis-py's errors do."""
    passwords = {_login(settings).get("password")}
    if settings.redis_url is not None:
        passwords.add(urlsplit(settings.redis_url.get_secret_value()).password)
    return frozenset(password for password in passwords if password)


def _login(settings: GeneralSettings) -> Options:
    """Who we are, and where; an URL's own words first."""
    if settings.redis_url is not None:
        return dict(parse_url(settings.redis_url.get_secret_value()))
    options: Options = {"db": settings.redis_db}
    if settings.redis_host is not None:
        options |= {"host": settings.redis_host, "port": settings.redis_port}
    if settings.redis_username is not None:
        options["username"] = settings.redis_username
    if settings.redis_password is not None:
        options["password"] = settings.redis_password.get_secret_value()
    if settings.redis_ssl:
        options["connection_class"] = SSLConnection
    return options


def _short() -> Options:
    return {
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "client_name": "llmproxy",
    }


def _master(settings: GeneralSettings, options: Options) -> Redis:
    encrypted = options.pop("connection_class", None) is SSLConnection
    # redis-py's Sentinel has no types.
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        [_host_and_port(each) for each in settings.redis_sentinels],
        sentinel_kwargs=_short() | {"ssl": encrypted},
        **options,
        ssl=encrypted,
    )
    master: Redis = sentinels.master_for(settings.redis_sentinel_master or "")
    return master


def _cluster(options: Options) -> RedisCluster:
    encrypted = options.pop("connection_class", None) is SSLConnection
    options.pop("db", None)
    return RedisCluster(**options, ssl=encrypted, require_full_coverage=False)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return (host, int(port)) if host else (address, SENTINEL_PORT)
