"""Members of a request that may be left out, because their values are the defaults."""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.fields import Fields


def pass_over(given: Fields, name: str, *usual: object) -> None:
    """Count a member as read if its value is a usual one, or if none are given; else name it."""
    raw = given.take(name)
    if raw is not None and usual and msgspec.json.decode(raw) not in usual:
        given.unknown.append(given.at(name))
