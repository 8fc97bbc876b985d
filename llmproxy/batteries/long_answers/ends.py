"""The usage of a JSON object of which only the beginning and the end are known.

The usage is a member of the object itself. So with a brace before it, the end is a JSON object of
its own; and so is the beginning with a brace after it. A member of that name that is deeper in the
object makes neither.
"""

from __future__ import annotations

import re

import msgspec

from llmproxy.operations import Usage
from llmproxy.operations.usage import usage_of

MAX_CANDIDATES = 16
MAX_NESTED = 8  # closing braces in a usage object
_USAGE = b'"usage"'
_TIER = re.compile(rb'"service_tier"\s*:\s*"\w+"')
_BRACE = re.compile(rb"\}")


def usage_in_ends(beginning: bytes, end: bytes) -> Usage | None:
    """Return the usage in the first or the last bytes of a JSON object; None if it is in neither.

    The end is the whole object if that is short. The service tier may be at the other end.
    """
    return usage_of(end) or _usage_in_end(beginning, end) or _usage_in_beginning(beginning)


def _usage_in_end(beginning: bytes, end: bytes) -> Usage | None:
    at = len(end)
    for _ in range(MAX_CANDIDATES):
        at = end.rfind(_USAGE, 0, at)
        if at < 0:
            return None
        if usage_of(b"{" + end[at:]) is not None:
            # Another tier, deeper in the object, would have to be the last one before the usage.
            tiers = _TIER.findall(end, 0, at)[-1:] or _tier_in(beginning)
            return usage_of(b"{" + b",".join([*tiers, end[at:]]))
    return None


def _usage_in_beginning(beginning: bytes) -> Usage | None:
    at = beginning.find(_USAGE)
    if at < 0:
        return None
    for number, brace in enumerate(_BRACE.finditer(beginning, at)):
        if number == MAX_NESTED:
            return None
        if (usage := usage_of(beginning[: brace.end()] + b"}")) is not None:
            return usage
    return None


def _tier_in(beginning: bytes) -> list[bytes]:
    """Return the member of the object with its service tier, if it begins with one."""
    found = _TIER.search(beginning)
    if found is None:
        return []
    try:
        msgspec.json.decode(beginning[: found.end()] + b"}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return [found[0]]
