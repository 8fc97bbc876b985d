"""What is wrong between values that are each right alone.

Works on a `Config` and just as well on what YAML gave, junk included, so that a config with a
wrong type in one place still hears of a duplicate name in another. Never raises.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.config.contradictions.base import Contradiction, Path
from llmproxy.config.contradictions.caching import of_caching
from llmproxy.config.contradictions.callers import of_callers
from llmproxy.config.contradictions.groups import of_groups
from llmproxy.config.contradictions.shared_view import of_shared_view

__all__ = ["Contradiction", "Path", "contradictions"]


def contradictions(config: object) -> Iterator[Contradiction]:
    """Every contradiction in a config, parsed or raw, part by part."""
    yield from of_groups(config)
    yield from of_callers(config)
    yield from of_shared_view(config)
    yield from of_caching(config)
