"""Rendezvous hashing: which endpoint a conversation belongs to, if nothing else is known.

Each endpoint draws a number for a conversation from a hash of both, and the best number wins; so
all instances agree without talking, and an endpoint more gets its part of the conversations from
all others, while the rest stay (D. Thaler, C. Ravishankar, "Using name-based mappings to increase
hit rates", IEEE/ACM Transactions on Networking 6, 1998). Weighted by the logarithm of the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import log

_DIGEST = 8
_SPAN = 1 << (8 * _DIGEST)


def preferred(key: bytes, names: Sequence[bytes], weights: Sequence[float]) -> list[int]:
    """Return the places with a weight above 0, the preferred one first."""
    scores = []
    for place, weight in enumerate(weights):
        if weight > 0:
            drawn = int.from_bytes(blake2b(key + names[place], digest_size=_DIGEST).digest(), "big")
            scores.append((-log((drawn + 0.5) / _SPAN) / weight, place))
    return [place for _, place in sorted(scores)]
