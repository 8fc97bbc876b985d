"""Slows down guessing: an address that sends wrong keys has to pause, longer each time."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import ip_address

FREE_TRIES = 5
FIRST_PAUSE_S = 0.5
# Short enough that an operator who comes through the same proxy as a guesser can still sign in.
MAX_PAUSE_S = 8.0
FORGET_AFTER_S = 600.0
MAX_ADDRESSES = 1000


class WrongKeys:
    """Counts the wrong keys of each address. `now`: seconds of a monotonic clock.

    IPv6 addresses are counted by their /64, because one machine may own all of it.
    """

    def __init__(self) -> None:
        # address -> (wrong keys, no try before, last one at); the newest at the end
        self._seen: OrderedDict[str, tuple[int, float, float]] = OrderedDict()

    def pause_s(self, address: str, now: float) -> float:
        """Return for how many more seconds every key from this address is refused."""
        seen = self._seen.get(_network(address))
        return 0.0 if seen is None else max(0.0, seen[1] - now)

    def count(self, address: str, now: float) -> int:
        """Count a wrong key; return how many there were."""
        network = _network(address)
        tries, _, last_at = self._seen.pop(network, (0, 0.0, now))
        tries = 1 if now - last_at > FORGET_AFTER_S else tries + 1
        pause_s = 0.0
        if tries >= FREE_TRIES:
            pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries - FREE_TRIES, 10))
        self._seen[network] = (tries, now + pause_s, now)
        while len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)
        return tries

    def forget(self, address: str) -> None:
        """Forget the wrong keys of an address, which has sent the right one."""
        self._seen.pop(_network(address), None)


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else parsed.exploded[:19]
