"""Cross-field validation: what is wrong between values that are each right alone.

Works on a `Config` and just as well on raw YAML values, junk included: if a value has a wrong type
in one place, a duplicate name in another place is still reported. Never raises.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.config.conflicts_of_groups import group_conflicts
from llmproxy.config.conflicts_of_settings import settings_conflicts
from llmproxy.config.raw import Conflict


def conflicts(config: object) -> Iterator[Conflict]:
    """Yield every conflict in a config, parsed or raw."""
    yield from group_conflicts(config)
    yield from settings_conflicts(config)
