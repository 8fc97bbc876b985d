"""Which values of a source are secrets that stand there in the clear."""

from __future__ import annotations

import re
from typing import Any

_NAMES = re.compile(
    r"(api_?key|secret|password|token|master_key|^key$|^value$|headers|redis_url|database_url|^url$"
    r"|authorization|credentials$)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"^(os\.environ/|\$\{?|env\.)[A-Za-z_]")
_NONE = ("", "none", "null", "dummy", "anything", "fake-key", "not-needed")


def literal_secret(key: str, value: Any) -> bool:
    """Return whether a value is a secret that is written out."""
    if isinstance(value, dict):
        return _NAMES.search(key) is not None and any(
            isinstance(inner, str) and not _REFERENCE.match(inner) for inner in value.values()
        )
    if not isinstance(value, str) or not _NAMES.search(key) or _REFERENCE.match(value):
        return False
    return value.lower() not in _NONE
