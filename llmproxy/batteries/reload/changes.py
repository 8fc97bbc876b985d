"""Describe the differences between two configs, and which of them need a restart.

A secret is never shown, only that it changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from llmproxy.config import Config

# The socket, the logs and the server are created once, at the start; and the supervisor of the
# workers uses the drain times.
NEEDS_RESTART = (
    *(
        "bind_address",
        "bind_port",
        "unix_socket_mode",
        "tls",
        "log_format",
        "access_log",
        "expose_docs",
    ),
    "proxy_protocol",
    *("drain_delay_s", "drain_timeout_s", "reload_on_change"),
    *("alerts", "database_url", "call_keep_s", "log_steps", "tracing"),
)
# Lists that are compared member by member, and the key that names a member.
NAMES = {
    **{"model_groups": "model_group", "models": "name", "callers": "name", "teams": "name"},
    "operators": "name",
}
MEMBERS = {"callers": "caller ", "teams": "team ", "operators": "operator "}
SECRETS = ("key_sha256",)


def kept_until_restart(old: Config, new: Config) -> tuple[Config, list[str]]:
    """Return the new config with the old value of every key that needs a restart, and texts that
    name these keys."""
    now, then = old.general_settings, new.general_settings
    kept = {name: getattr(now, name) for name in NEEDS_RESTART}
    waiting = [
        f"needs a restart: general_settings.{name}: {_change(now, then, name)}"
        for name in NEEDS_RESTART
        if kept[name] != getattr(then, name)
    ]
    return new.model_copy(update={"general_settings": then.model_copy(update=kept)}), waiting


def differences(old: Config, new: Config) -> list[str]:
    """Return one text for each difference."""
    groups = _member_differences(old.model_groups, new.model_groups, "model_groups", "")
    return [
        *groups,
        *_section_differences(old.general_settings, new.general_settings, "general_settings."),
    ]


def _section_differences(old: BaseModel, new: BaseModel, place: str) -> Iterator[str]:
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if name in NAMES:
            within = MEMBERS.get(name) or f"{place.removesuffix(': ')}/"
            yield from _member_differences(before, after, name, within)
        elif isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from _section_differences(before, after, f"{place}{name}.")
        else:
            yield f"{place}{name}: {_change(old, new, name)}"


def _member_differences(
    old: Sequence[BaseModel], new: Sequence[BaseModel], kind: str, place: str
) -> Iterator[str]:
    """Yield the differences of two lists whose members have names."""
    key = NAMES[kind]
    before = {str(getattr(member, key)): member for member in old}
    after = {str(getattr(member, key)): member for member in new}
    for name, member in after.items():
        if name not in before:
            yield f"{place}{name}: is new"
        elif member != before[name]:
            yield from _section_differences(before[name], member, f"{place}{name}: ")
    for name in before:
        if name not in after:
            yield f"{place}{name}: is gone"


def _change(old: BaseModel, new: BaseModel, name: str) -> str:
    before, after = getattr(old, name), getattr(new, name)
    if name in SECRETS or not (_may_be_change(before) and _may_be_change(after)):
        return "changed"
    return f"{_in_yaml(before)} -> {_in_yaml(after)}"


def _may_be_change(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _in_yaml(value: object) -> str:
    """Return a value as the file would spell it."""
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else str(value)
