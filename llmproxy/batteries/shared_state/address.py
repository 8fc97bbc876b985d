"""The server of the shared state: a client of Redis or Valkey from the settings, and Lua scripts.

The client connects when it is used first. redis-py's defaults (5 s, ten retries) would wait as long
as a server hangs: here nothing is retried, and each use is bounded by `patience`. Texts about the
server never contain a password.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from llmproxy.batteries.masking import Secrets
from llmproxy.batteries.settings import FullSettings
from llmproxy.errors import ConfigError, Problem
from llmproxy.rules.authority import authority

Client: TypeAlias = "Redis | RedisCluster"
Options: TypeAlias = dict[str, Any]  # as redis-py takes them

CONNECT_S = 0.2
OPERATION_S = 0.1
SENTINEL_PORT = 26379
MAX_WHY = 200


def in_words(error: Exception, secrets: Secrets) -> str:
    """Return an error as one line for the operator, without secrets; "" if it has no text."""
    # The error of a script ends with the place in the script, which does not help an operator.
    why = str(error).partition("\n")[0].partition(" script: ")[0]
    return secrets.mask_text(why)[:MAX_WHY]


async def give_up_idle(client: Client) -> None:
    """Close unused connections: the address may lead to another server by now, and a server that
    vanished leaves them open."""
    if isinstance(client, Redis):
        await client.connection_pool.disconnect(inuse_connections=False)


def patience(*, connected: bool, operation_s: float = OPERATION_S) -> asyncio.Timeout:
    """Return the timeout of an operation: 0.1 s, or 0.3 s if it may have to connect first.

    Replaces redis-py's `socket_timeout`, which makes a task of every write, and on Python 3.11
    can lose a cancellation (asyncio.wait_for did).
    """
    return asyncio.timeout(operation_s if connected else CONNECT_S + operation_s)


class Script:
    """A .lua file of a package: by default, one beside this file."""

    def __init__(self, name: str, package: str = __package__) -> None:
        self._text = files(package).joinpath(name).read_text(encoding="utf-8")
        self._digest = sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Client, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run the script and return its result. Raises what redis-py raises.

        It is sent as its digest, and as text to a server that has not cached it yet.
        """
        try:
            return await client.evalsha(self._digest, len(keys), *keys, *args)
        except NoScriptError:
            return await client.eval(self._text, len(keys), *keys, *args)


def client_of(settings: FullSettings) -> Client:
    """Return a client of the server, the sentinels' master or the cluster in the settings.

    Raises ConfigError if redis-py cannot use them. The caller closes it.
    """
    try:
        options = _login(settings) | _short()
        if settings.redis_cluster:
            return _cluster(options)
        if settings.redis_sentinels:
            return _master(settings, options)
        client = Redis.from_pool(ConnectionPool(**options))
        # Made only because it raises for options that do not exist.
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


def shown(settings: FullSettings) -> str:
    """Return the address for logs and /health: no user, no password, no options."""
    if settings.redis_sentinels:
        return f"{settings.redis_sentinel_master} at {', '.join(settings.redis_sentinels)}"
    if settings.redis_url is None:
        return authority(settings.redis_host or "", settings.redis_port)
    url = urlsplit(settings.redis_url.get_secret_value())
    return url.path if url.scheme == "unix" else authority(url.hostname or "", url.port or 6379)


def is_on_this_machine(settings: FullSettings) -> bool:
    """Return whether the server is reached at a unix socket."""
    url = settings.redis_url
    return url is not None and urlsplit(url.get_secret_value()).scheme == "unix"


def secrets_of(settings: FullSettings) -> Secrets:
    """Return the passwords, to be removed from texts: redis-py's errors may contain them."""
    passwords = {_login(settings).get("password")}
    if settings.redis_url is not None:
        passwords.add(urlsplit(settings.redis_url.get_secret_value()).password)
    return Secrets(password for password in passwords if password)


def _login(settings: FullSettings) -> Options:
    """Return the address and the login. In a URL, both are part of it."""
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


def _master(settings: FullSettings, options: Options) -> Redis:
    encrypted = options.pop("connection_class", None) is SSLConnection
    # redis-py's Sentinel has no types.
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        [_host_and_port(address) for address in settings.redis_sentinels],
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
