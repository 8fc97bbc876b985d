"""What differs between two configs, in words for the operator, and what only a restart changes.

No secret is ever told: that it has changed is all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from llmproxy.config.models import Config

# The socket, the logs and the server are made at the start, and the supervisor of workers knows how
# long they may take to end.
NEEDS_RESTART = (
    *("bind_address", "bind_port", "log_format", "access_log", "expose_docs"),
    *("drain_delay_s", "drain_timeout_s", "reload_on_change"),
    *("log_steps", "call_file", "call_file_keep_s", "tracing"),
)
# Told by their names: lists of these are compared member by member.
NAMES = {"model_groups": "model_group", "models": "name", "callers": "name"}
SECRETS = ("key_sha256",)


def kept_until_restart(old: Config, new: Config) -> tuple[Config, list[str]]:
    """The new config as far as it can be taken up now, and what cannot, in words."""
    now, then = old.general_settings, new.general_settings
    kept = {name: getattr(now, name) for name in NEEDS_RESTART}
    waiting = [
        f"needs a restart: general_settings.{name}: {_told(now, then, name)}"
        for name in NEEDS_RESTART
        if kept[name] != getattr(then, name)
    ]
    return new.model_copy(update={"general_settings": then.model_copy(update=kept)}), waiting


def differences(old: Config, new: Config) -> list[str]:
    """What differs, one text each."""
    groups = _of_members(old.model_groups, new.model_groups, "model_groups", "")
    return [*groups, *_of_sections(old.general_settings, new.general_settings, "general_settings.")]


def _of_sections(old: BaseModel, new: BaseModel, place: str) -> Iterator[str]:
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if name in NAMES:
            within = "caller " if name == "callers" else f"{place.removesuffix(': ')}/"
            yield from _of_members(before, after, name, within)
        elif isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from _of_sections(before, after, f"{place}{name}.")
        else:
            yield f"{place}{name}: {_told(old, new, name)}"


def _of_members(
    old: Sequence[BaseModel], new: Sequence[BaseModel], kind: str, place: str
) -> Iterator[str]:
    """Of lists whose members have names."""
    key = NAMES[kind]
    before = {str(getattr(each, key)): each for each in old}
    after = {str(getattr(each, key)): each for each in new}
    for name, each in after.items():
        if name not in before:
            yield f"{place}{name}: is new"
        elif each != before[name]:
            yield from _of_sections(before[name], each, f"{place}{name}: ")
    for name in before:
        if name not in after:
            yield f"{place}{name}: is gone"


def _told(old: BaseModel, new: BaseModel, name: str) -> str:
    before, after = getattr(old, name), getattr(new, name)
    if name in SECRETS or not (_may_be_told(before) and _may_be_told(after)):
        return "changed"
    return f"{_in_yaml(before)} -> {_in_yaml(after)}"


def _may_be_told(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _in_yaml(value: object) -> str:
    """As it would stand in the file."""
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else str(value)
