"""Keys and teams in LiteLLM's words: its orders become ours, our views its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llmproxy.batteries.keys import OrderError

View = dict[str, Any]
Order = Mapping[str, Any]

# LiteLLM's names of what is the same here.
SAME = {
    **{"models": "models", "tags": "tags", "tpm_limit": "tpm", "rpm_limit": "rpm"},
    "max_parallel_requests": "concurrent",
}
SAME_OF_KEY = {**SAME, "key_alias": "name", "team_id": "team", "user_id": "owner"}
ALL_MODELS = {"all-team-models", "all-proxy-models"}  # as LiteLLM names them
PERIODS = {
    **dict.fromkeys(("1h", "60m", "3600s"), "hour"),
    **dict.fromkeys(("1d", "24h", "86400s", "daily"), "day"),
    **dict.fromkeys(("7d", "1w", "weekly"), "week"),
    **dict.fromkeys(("30d", "1mo", "monthly"), "month"),
}
DURATIONS = {"hour": "1h", "day": "1d", "week": "7d", "month": "1mo"}


def key_order(order: Order, before: View | None = None) -> View:
    """Return our order for LiteLLM's of a key. `before`: the key that is changed.

    Raises OrderError for what a key cannot have here.
    """
    known = {*SAME_OF_KEY, "duration", "metadata", "max_budget", "budget_duration", "key"}
    _only(order, known, "key")
    if before is None and order.get("key"):
        raise OrderError("key: keys are made here. Leave it out; the answer has the new one.")
    ours = _same(order, SAME_OF_KEY)
    if "duration" in order:
        ours["expires"] = order["duration"]
    return {**ours, **_budget(order, before), **_metadata(order)}


def team_order(order: Order, before: View | None = None) -> View:
    """Return our order for LiteLLM's of a team. Raises OrderError."""
    names = {name: ours for name, ours in SAME.items() if name != "tags"}
    known = {*names, "team_id", "team_alias", "metadata", "max_budget", "budget_duration"}
    _only(order, {*known, "members_with_roles"}, "team")
    ours = _same(order, names)
    name, alias = order.get("team_id") or order.get("team_alias"), order.get("team_alias")
    metadata = _object("metadata", order.get("metadata"))
    if alias and alias != name:
        metadata["team_alias"] = alias
    if before is None:
        ours["name"] = name
    if members := order.get("members_with_roles"):
        if not isinstance(members, list):
            raise _wrong("members_with_roles", "a list", members)
        ours["members"] = [_person(member) for member in members]
    noted = {"metadata": metadata} if metadata or "metadata" in order else {}
    return {**ours, **_budget(order, before), **_metadata(noted)}


def key_view(view: View) -> View:
    """Return one of our keys as LiteLLM shows it. Spend is null where it is not known."""
    spent = view["spent_usd"]
    return {
        **{"token": view["id"], "token_id": view["id"], "key_alias": view["name"]},
        **{"key_name": None if view["prefix"] is None else f"{view['prefix']}..."},
        **{"spend": None if spent is None else float(spent), "user_id": view["owner"]},
        **{"team_id": view["team"], "expires": moment(view["expires_at"])},
        **{"blocked": view["state"] == "blocked", "status": view["state"]},
        **{"created_at": moment(view["created_at"]), "created_by": view["created_by"]},
        **{"last_active": moment(view["last_used_at"])},
        **_common(view, tags=view["tags"]),
    }


def team_view(view: View) -> View:
    """Return one of our teams as LiteLLM shows it."""
    common = _common(view)
    alias = common["metadata"].pop("team_alias", view["name"])
    return {
        **{"team_id": view["name"], "team_alias": alias, "spend": None},
        **{"blocked": view["state"] == "blocked", "created_at": moment(view["created_at"])},
        "members_with_roles": [
            {"user_id": member["person"], "role": "user"} for member in view["members"]
        ],
        **common,
    }


def texts(name: str, value: Any) -> list[str]:
    """Return a list of texts; an empty one for null. Raises OrderError."""
    found = [] if value is None else value
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise _wrong(name, "a list of texts", value)
    return found


def moment(at: float | None) -> str | None:
    """Return a Unix time as LiteLLM writes moments."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def _common(view: View, tags: list[str] | None = None) -> View:
    limits = view["limits"]
    budget = next((one for one in view["budgets"] if one["unit"] == "usd"), None)
    try:
        metadata = json.loads(view["note"] or "{}")
    except ValueError:
        metadata = {"note": view["note"]}
    if not isinstance(metadata, dict):
        metadata = {"note": view["note"]}
    if tags:
        metadata["tags"] = tags
    resets_at = None if budget is None else budget.get("resets_at")
    return {
        **{"models": view["models"] or [], "metadata": metadata},
        **{"tpm_limit": limits["tpm"], "rpm_limit": limits["rpm"]},
        "max_parallel_requests": limits["concurrent"],
        "max_budget": None if budget is None else float(budget["amount"]),
        "budget_duration": None if budget is None else DURATIONS.get(budget["per"]),
        "budget_reset_at": moment(resets_at),
    }


def _same(order: Order, names: Mapping[str, str]) -> View:
    ours = {our: order[name] for name, our in names.items() if name in order}
    models = texts("models", ours.get("models"))
    if "models" in ours and (not models or not ALL_MODELS.isdisjoint(models)):
        ours["models"] = None
    return ours


def _budget(order: Order, before: View | None) -> View:
    """Return the budget that an order names; what it leaves out stays as it was."""
    if "max_budget" not in order and "budget_duration" not in order:
        return {}
    had = next((one for one in (before or {}).get("budgets", ()) if one["unit"] == "usd"), None)
    amount = order.get("max_budget", None if had is None else had["amount"])
    if amount is None:
        return {"budget": None}
    per = "total" if had is None else had["per"]
    if "budget_duration" in order:
        duration = order["budget_duration"]
        per = "total" if duration is None else PERIODS.get(str(duration), "")
        if not per:
            raise _wrong("budget_duration", "1h, 1d, 7d, 30d, 1mo, or none: in total", duration)
    try:
        dollars = f"{float(amount):.9f}".rstrip("0").rstrip(".")
    except (TypeError, ValueError) as error:
        raise _wrong("max_budget", "dollars, a number", amount) from error
    return {"budget": f"{dollars}/{per}"}


def _metadata(order: Order) -> View:
    """Return the tags of an order's metadata, and the rest as the note."""
    if "metadata" not in order:
        return {}
    metadata = _object("metadata", order["metadata"])
    ours: View = {"tags": metadata.pop("tags")} if "tags" in metadata else {}
    return {**ours, "note": json.dumps(metadata) if metadata else None}


def _only(order: Order, known: set[str], what: str) -> None:
    """Raise OrderError for members that ask for something that is not there. Empty ones do not."""
    unknown = sorted(name for name, value in order.items() if value and name not in known)
    if unknown:
        raise OrderError(
            f"A {what} has no {', '.join(unknown)} here. It has: {', '.join(sorted(known))}."
        )


def _object(name: str, value: Any) -> View:
    """Return a copy of a JSON object; an empty one for null."""
    if not isinstance(value, dict | None):
        raise _wrong(name, "an object", value)
    return dict(value or {})


def _person(member: Any) -> str:
    found = _object("members_with_roles", member)
    person = found.get("user_email") or found.get("user_id")
    if not isinstance(person, str):
        raise _wrong("members_with_roles", "objects with user_id", member)
    return person


def _wrong(name: str, expected: str, found: Any) -> OrderError:
    return OrderError(f"{name}: expected {expected}, found {str(found)[:60]!r}.")
