"""Callers with keys of their own: who is calling, what a caller may use, and its limits.

The only module of this package that others import. Without it, the core serves every client
anonymously, and refuses a config that has `callers`.
"""

from llmproxy.batteries.callers.by_key import ConfiguredCallers
from llmproxy.batteries.callers.identity import (
    Identity,
    IdentitySource,
    TeamRules,
    TeamSource,
    expired_key,
    unknown_key,
    utc,
)
from llmproxy.batteries.callers.labels import LabelReader

__all__ = [
    "ConfiguredCallers",
    "Identity",
    "IdentitySource",
    "LabelReader",
    "TeamRules",
    "TeamSource",
    "expired_key",
    "unknown_key",
    "utc",
]
