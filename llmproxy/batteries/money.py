"""Amounts of money: whole nano-dollars (1e-9 USD) inside, so that sums in any order are equal."""

from __future__ import annotations

from llmproxy.record import Basis, Cost

NANO = 1_000_000_000


def dollars(nano_usd: int, *, places: int = 0) -> str:
    """Return nano-dollars as exact decimal text of dollars, with at least so many places."""
    whole, part = divmod(abs(nano_usd), NANO)
    decimals = f"{part:09d}".rstrip("0").ljust(places, "0")
    return f"{'-' if nano_usd < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


def charged_usd(cost: Cost | None) -> float | None:
    """Return what a call cost in US dollars; None if that is not known or nothing was charged."""
    if cost is None or cost.basis in (Basis.FREE, Basis.UNKNOWN):
        return None
    return cost.nano_usd / NANO
