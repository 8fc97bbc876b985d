"""Warnings of endpoints that refuse parameters which others of the same calls take."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from llmproxy.batteries.parameters.unsupported import Unsupported, left_to, unsupported_by
from llmproxy.config import Config
from llmproxy.providers.base import Endpoints


def mixed_groups(config: Config, endpoints: Endpoints) -> Iterator[str]:
    """Yield a warning for each endpoint that gets calls made for endpoints that take more."""
    groups = {group.model_group: group for group in config.model_groups}
    warned: set[tuple[str, str]] = set()
    for group in config.model_groups:
        members = [
            (entry, endpoint, left_to(entry, unsupported_by(endpoint)))
            for name in (group.model_group, *group.all_fallbacks)
            for entry, endpoint in zip(groups[name].models, endpoints[name], strict=True)
        ]
        sets = [_names(unsupported_by(endpoint)) for _, endpoint, _ in members]
        refused_by_all = frozenset.intersection(*sets)
        for entry, endpoint, unsupported in members:
            names = sorted(_names(unsupported) - refused_by_all)
            key = (endpoint.group, endpoint.name)
            if names and not entry.drop_unsupported and key not in warned:
                warned.add(key)
                yield (
                    f"Endpoint {endpoint.name!r} of {endpoint.group!r} refuses {', '.join(names)}: "
                    f"calls of {group.model_group!r} with one of them fail there. "
                    "Add drop_unsupported: true to it."
                )


def _names(unsupported: Unsupported) -> frozenset[str]:
    return frozenset(chain(unsupported.drop, (old for old, _ in unsupported.rename)))
