"""Conflicts within the settings of batteries: callers, the cache, the addresses of Redis."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from llmproxy.batteries.config_file.aliases import caller_alias_conflicts
from llmproxy.batteries.config_file.raw import (
    Conflict,
    Path,
    get,
    group_names,
    items,
    text_of,
    used_twice,
)


def battery_conflicts(config: object) -> Iterator[Conflict]:
    """Yield every conflict between settings of batteries, as `conflicts` does."""
    settings = get(config, "general_settings")
    yield from _callers(config)
    yield from _certificates(settings)
    yield from _operators(settings)
    yield from _redis(settings)
    yield from _cache(settings)


CALLERS: Path = ("general_settings", "callers")
TEAMS: Path = ("general_settings", "teams")


def _callers(config: object) -> Iterator[Conflict]:
    """Yield equal names and keys, callers with two keys or none, and groups that do not exist,
    also of teams."""
    known = group_names(config)
    settings = get(config, "general_settings")
    callers, teams = get(settings, "callers"), get(settings, "teams")
    yield from used_twice(
        callers,
        CALLERS,
        "name",
        "found a second caller named {value}.",
        "Rename one: logs and metrics could not tell them apart.",
    )
    yield from used_twice(
        teams,
        TEAMS,
        "name",
        "found a second team named {value}.",
        "Rename one, or make one team of the two.",
    )
    for index, team in enumerate(items(teams)):
        yield from _groups(team, (*TEAMS, index), known)
    for index, budget in enumerate(items(get(settings, "budgets"))):
        name = get(get(budget, "for"), "group")
        if isinstance(name, str) and name not in known:
            yield Conflict(
                ("general_settings", "budgets", index, "for", "group"),
                "found {value}, but there is no such model group.",
                "Write the model_group of one in this file; else no call is charged to it.",
                value=name,
            )
    keys: dict[str, Path] = {}
    for index, caller in enumerate(items(callers)):
        if not isinstance(caller, dict):
            continue
        path: Path = (*CALLERS, index)
        yield from _key(caller, path, keys)
        yield from _groups(caller, path, known)
        yield from caller_alias_conflicts(config, caller, path)


def _certificates(settings: object) -> Iterator[Conflict]:
    """Yield names that two callers have, and names that no client can prove."""
    first: dict[str, Path] = {}
    checks_clients = get(get(settings, "tls"), "client_ca") is not None
    for index, caller in enumerate(items(get(settings, "callers"))):
        for number, name in enumerate(items(get(caller, "certificates"))):
            here: Path = (*CALLERS, index, "certificates", number)
            if not checks_clients:
                yield Conflict(
                    here,
                    "found a certificate without `tls.client_ca`.",
                    "Add general_settings.tls with client_ca, or remove it.",
                )
            if isinstance(name, str) and name in first:
                found, remedy = "found {value}, which another caller has.", "Keep one."
                yield Conflict(here, found, remedy, first[name], name)
            elif isinstance(name, str):
                first[name] = here


def _operators(settings: object) -> Iterator[Conflict]:
    """Yield equal names and keys, operators with two keys or none, and roles without their team."""
    operators = get(settings, "operators")
    path: Path = ("general_settings", "operators")
    yield from used_twice(
        operators,
        path,
        "name",
        "found a second operator named {value}.",
        "Rename one: the audit could not tell them apart.",
    )
    keys: dict[str, Path] = {}
    for index, operator in enumerate(items(operators)):
        if not isinstance(operator, dict):
            continue
        yield from _key(operator, (*path, index), keys, "operator")
        if (get(operator, "role") == "team") != (get(operator, "team") is not None):
            yield Conflict(
                (*path, index),
                "found `role: team` without `team`, or a team with another role.",
                "Write both for somebody who sees one team, else neither.",
            )


def _key(
    caller: object, path: Path, first: dict[str, Path], kind: str = "caller"
) -> Iterator[Conflict]:
    given = [key for key in ("key", "key_sha256") if get(caller, key) is not None]
    if not given and get(caller, "certificates"):
        return
    if not given:
        found = f"found {'an' if kind == 'operator' else 'a'} {kind} without a key."
        yield Conflict(path, found, "Add key: os.environ/NAME, or key_sha256.")
        return
    here: Path = (*path, given[-1])
    if len(given) > 1:
        yield Conflict(here, "found both key and key_sha256.", "Keep one of the two.")
        return
    digest = _digest(caller)
    if digest is not None and digest in first:
        yield Conflict(
            here,
            f"found the key of another {kind}.",
            f"Give each {kind} its own key; {kind}s are identified by it.",
            first[digest],
        )
    if digest is not None:
        first.setdefault(digest, here)


def _digest(caller: object) -> str | None:
    """Return the SHA-256 of a caller's key; None if the raw value has none."""
    if key := text_of(get(caller, "key")):
        return sha256(key.encode(errors="surrogatepass")).hexdigest()
    written = get(caller, "key_sha256")
    return written.lower() if isinstance(written, str) else None


def _groups(caller: object, path: Path, known: set[str]) -> Iterator[Conflict]:
    for index, name in enumerate(items(get(caller, "groups"))):
        if isinstance(name, str) and name not in known:
            yield Conflict(
                (*path, "groups", index),
                "found {value}, but there is no such model group.",
                "Write the model_group of one in this file; without groups all may be used.",
                value=name,
            )


CACHE_PARAMS: Path = ("general_settings", "cache_params")


def _cache(settings: object) -> Iterator[Conflict]:
    """Yield a server or file that is missing, and one that is unused."""
    params = get(settings, "cache_params")
    kind, path = get(params, "type"), get(params, "path")
    addresses = ("redis_url", "redis_host", "redis_sentinels")
    if kind == "redis" and not any(get(settings, key) for key in addresses):
        yield Conflict(
            (*CACHE_PARAMS, "type"),
            "found type: redis without a server.",
            "Add redis_url (or redis_host, redis_sentinels) to general_settings.",
        )
    if kind != "redis" and get(params, "across_instances") is True:
        yield Conflict(
            (*CACHE_PARAMS, "across_instances"),
            "found across_instances without type: redis.",
            "Add type: redis, or remove it.",
        )
    if kind == "disk" and path is None:
        yield Conflict(
            (*CACHE_PARAMS, "type"),
            "found type: disk without a file.",
            "Add path: /var/cache/llmproxy/answers.sqlite3, or another one.",
        )
    if kind != "disk" and path is not None:
        yield Conflict(
            (*CACHE_PARAMS, "path"),
            "found a path without type: disk.",
            "Add type: disk, or remove it.",
        )


_NO = ("false", "no", "off", "f", "n", "0", "0.0")
# How the defaults may be written. A default beside redis_url is no conflict.
_DEFAULTS = {"redis_port": ("6379",), "redis_db": ("0",), "redis_ssl": _NO, "redis_cluster": _NO}
_PARTS_OF_THE_URL = ("redis_port", "redis_username", "redis_password", "redis_db", "redis_ssl")
_USE_THE_URL = "Write it in redis_url: rediss://user:password@host:6379/0 (redis:// without TLS)."


def _redis(settings: object) -> Iterator[Conflict]:
    """Yield two addresses, half an address, and what a cluster or sentinels exclude.

    No value is shown: it may hold a password.
    """
    if _given(settings, "redis_url"):
        yield from _redis_url(settings)
    elif _given(settings, "redis_sentinels"):
        yield from _redis_sentinels(settings)
    elif not _given(settings, "redis_host"):
        for key in (*_PARTS_OF_THE_URL, "redis_cluster"):
            if _given(settings, key):
                yield _redis_conflict(
                    key, f"found {key} without an address.", "Add redis_host, or remove it."
                )
    if _given(settings, "redis_sentinel_master") and not _given(settings, "redis_sentinels"):
        yield _redis_conflict(
            "redis_sentinel_master",
            "found redis_sentinel_master without redis_sentinels.",
            "Add redis_sentinels: [host:26379, ...].",
        )
    if _given(settings, "redis_cluster"):
        yield from _redis_cluster(settings)


def _redis_url(settings: object) -> Iterator[Conflict]:
    for key in ("redis_host", "redis_sentinels"):
        if _given(settings, key):
            yield _redis_conflict(key, f"found both redis_url and {key}.", "Keep one of the two.")
    for key in _PARTS_OF_THE_URL:
        if _given(settings, key):
            yield _redis_conflict(key, f"found both redis_url and {key}.", _USE_THE_URL)


def _redis_sentinels(settings: object) -> Iterator[Conflict]:
    for key in ("redis_host", "redis_port"):
        if _given(settings, key):
            yield _redis_conflict(
                key,
                f"found both redis_sentinels and {key}.",
                "Remove it: the sentinels say where the server is. Their own ports stand behind "
                "their hosts.",
            )
    if not _given(settings, "redis_sentinel_master"):
        yield _redis_conflict(
            "redis_sentinels",
            "found redis_sentinels without redis_sentinel_master.",
            "Add redis_sentinel_master: the sentinels' name for the server, often mymaster.",
        )


def _redis_cluster(settings: object) -> Iterator[Conflict]:
    if _given(settings, "redis_sentinels"):
        yield _redis_conflict(
            "redis_cluster",
            "found both redis_cluster and redis_sentinels.",
            "Keep one of the two: a cluster has its own failover.",
        )
    if _given(settings, "redis_db"):
        yield _redis_conflict(
            "redis_db", "found a database in a cluster.", "Remove it: there is only 0."
        )
    url = text_of(get(settings, "redis_url"))
    if url is None:
        return
    scheme, database = _scheme_and_database(url)
    if scheme == "unix":
        yield _redis_conflict(
            "redis_url",
            "found a socket's path, but a cluster is reached by hosts and ports.",
            "Write rediss://user:password@host:6379, or remove redis_cluster.",
        )
    elif database not in ("", "0"):
        yield _redis_conflict(
            "redis_url", "found a database in a cluster.", "Remove its number: there is only 0."
        )


def _scheme_and_database(url: str) -> tuple[str, str]:
    """Return both empty for an invalid URL, which is reported elsewhere."""
    try:
        parts = urlsplit(url)
        queried = parse_qs(parts.query).get("db", [""])[-1]
    except ValueError:
        return "", ""
    return parts.scheme, queried or parts.path.strip("/")


def _given(settings: object, key: str) -> bool:
    """Return whether the operator set this key to something other than its default."""
    value = get(settings, key)
    if value is None or value in ((), []):
        return False
    return str(value).lower() not in _DEFAULTS.get(key, ())


def _redis_conflict(key: str, found: str, remedy: str) -> Conflict:
    path: Path = ("general_settings", key)
    return Conflict(path, found, remedy)
