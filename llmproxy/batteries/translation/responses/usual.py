"""Members of a request that may be passed over, because they say what is so without them."""

from __future__ import annotations

import msgspec

from llmproxy.batteries.translation.fields import Fields


def pass_over(given: Fields, name: str, *usual: object) -> None:
    """Pass over a member with one of the usual values, or any if none are given; name it else."""
    raw = given.take(name)
    if raw is not None and usual and msgspec.json.decode(raw) not in usual:
        given.unknown.append(given.at(name))
