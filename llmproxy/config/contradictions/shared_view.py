"""Addresses of Redis that contradict each other. No value is told: it may hold a password."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from llmproxy.config.contradictions.base import Contradiction
from llmproxy.config.reading import get, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmproxy.config.contradictions.base import Path

_NO = ("false", "no", "off", "f", "n", "0", "0.0")
# How the defaults may be written. A default beside redis_url says nothing and contradicts nothing.
_DEFAULTS = {"redis_port": ("6379",), "redis_db": ("0",), "redis_ssl": _NO, "redis_cluster": _NO}
_IN_THE_URL = ("redis_port", "redis_username", "redis_password", "redis_db", "redis_ssl")
_IN_WORDS = "Write it in redis_url: rediss://user:password@host:6379/0 (redis:// without TLS)."


def of_shared_view(config: object) -> Iterator[Contradiction]:
    """Two addresses, half of one, and what a cluster or sentinels cannot have."""
    settings = get(config, "general_settings")
    if _given(settings, "redis_url"):
        yield from _beside_the_url(settings)
    elif _given(settings, "redis_sentinels"):
        yield from _beside_sentinels(settings)
    elif not _given(settings, "redis_host"):
        for key in (*_IN_THE_URL, "redis_cluster"):
            if _given(settings, key):
                yield _wrong(
                    key, f"found {key} without an address.", "Add redis_host, or remove it."
                )
    if _given(settings, "redis_sentinel_master") and not _given(settings, "redis_sentinels"):
        yield _wrong(
            "redis_sentinel_master",
            "found redis_sentinel_master without redis_sentinels.",
            "Add redis_sentinels: [host:26379, ...].",
        )
    if _given(settings, "redis_cluster"):
        yield from _of_a_cluster(settings)


def _beside_the_url(settings: object) -> Iterator[Contradiction]:
    for key in ("redis_host", "redis_sentinels"):
        if _given(settings, key):
            yield _wrong(key, f"found both redis_url and {key}.", "Keep one of the two.")
    for key in _IN_THE_URL:
        if _given(settings, key):
            yield _wrong(key, f"found both redis_url and {key}.", _IN_WORDS)


def _beside_sentinels(settings: object) -> Iterator[Contradiction]:
    for key in ("redis_host", "redis_port"):
        if _given(settings, key):
            yield _wrong(
                key,
                f"found both redis_sentinels and {key}.",
                "Remove it: the sentinels say where the server is. Their own ports stand behind "
                "their hosts.",
            )
    if not _given(settings, "redis_sentinel_master"):
        yield _wrong(
            "redis_sentinels",
            "found redis_sentinels without redis_sentinel_master.",
            "Add redis_sentinel_master: what the sentinels call the server, often mymaster.",
        )


def _of_a_cluster(settings: object) -> Iterator[Contradiction]:
    if _given(settings, "redis_sentinels"):
        yield _wrong(
            "redis_cluster",
            "found both redis_cluster and redis_sentinels.",
            "Keep one of the two: a cluster watches over itself.",
        )
    if _given(settings, "redis_db"):
        yield _wrong("redis_db", "found a database in a cluster.", "Remove it: there is only 0.")
    url = plain(get(settings, "redis_url"))
    if url is None:
        return
    scheme, database = _scheme_and_database(url)
    if scheme == "unix":
        yield _wrong(
            "redis_url",
            "found a socket's path, but a cluster is reached by hosts and ports.",
            "Write rediss://user:password@host:6379, or remove redis_cluster.",
        )
    elif database not in ("", "0"):
        yield _wrong(
            "redis_url", "found a database in a cluster.", "Remove its number: there is only 0."
        )


def _scheme_and_database(url: str) -> tuple[str, str]:
    """Both empty for what is no URL: that is told elsewhere."""
    try:
        parts = urlsplit(url)
        queried = parse_qs(parts.query).get("db", [""])[-1]
    except ValueError:
        return "", ""
    return parts.scheme, queried or parts.path.strip("/")


def _given(settings: object, key: str) -> bool:
    """Whether the operator has said something with this key."""
    value = get(settings, key)
    if value is None or value in ((), []):
        return False
    return str(value).lower() not in _DEFAULTS.get(key, ())


def _wrong(key: str, found: str, remedy: str) -> Contradiction:
    path: Path = ("general_settings", key)
    return Contradiction(path, found, remedy)
