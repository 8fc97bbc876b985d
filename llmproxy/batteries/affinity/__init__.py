"""Keeps conversations at the endpoint that has their prompt cached (decision 049).

The only module of this package that others import. Without it, all calls are shared as the
strategy says.
"""

from __future__ import annotations

from llmproxy.batteries.affinity.preference import GroupAffinity
from llmproxy.batteries.affinity.prompt_caches import CacheRules, rules_of
from llmproxy.batteries.settings import full, shares_state
from llmproxy.config import GeneralSettings, ModelGroup
from llmproxy.routing import Group

__all__ = ["CacheRules", "GroupAffinity", "affinity_of", "rules_of"]


def affinity_of(entry: ModelGroup, settings: GeneralSettings, group: Group) -> GroupAffinity | None:
    """Return the affinity of a group whose endpoints are those of a config; None = no call
    prefers an endpoint. The group keeps what it knows of its
    conversations."""
    known = group.affinity
    affinity = known if isinstance(known, GroupAffinity) else GroupAffinity()
    mode = entry.affinity or settings.affinity
    is_on = affinity.adopt(mode, group.states, is_one_of_several=shares_state(full(settings)))
    return affinity if is_on else None
