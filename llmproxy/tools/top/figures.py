"""Format numbers for people, in few characters. Pure."""

from __future__ import annotations

NONE = "-"


def count(number: float) -> str:
    """1,234 up to four digits, then 12k, 3.4M."""
    if number < 9_999.5:
        return f"{number:,.0f}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if number < 999.5 * size:
            value = number / size
            return f"{value:.0f}{unit}" if value >= 99.5 or unit == "k" else f"{value:.1f}{unit}"
    return f"{number / 1e12:,.1f}T"


def rate(number: float) -> str:
    """Format a rate per second: 0.3, 18.4, 230."""
    return f"{number:.1f}" if number < 99.95 else count(number)


def share(part: float) -> str:
    """Format a share as a percentage. Never 0% for a share above 0, nor 100% below 1."""
    percent = 100 * part
    if 0 < percent < 0.1:
        return "<0.1%"
    if percent < 9.95:
        return f"{percent:.1f}%" if percent else "0%"
    return "99%" if 99 < percent < 100 else f"{percent:.0f}%"


def milliseconds(ms: float | None) -> str:
    """0.4ms, 394ms, 1.6s, 24s, 3m."""
    if ms is None:
        return NONE
    if ms < 999.5:
        return f"{ms:.0f}ms" if ms >= 9.95 else f"{ms:.1f}ms"
    return seconds(ms / 1000)


def seconds(time_s: float) -> str:
    """Format a duration in one unit: 0.4s, 42s, 4m, 7h, 3d."""
    if time_s < 9.95:
        return f"{time_s:.1f}s"
    for unit, size, below in (("s", 1, 119.5), ("m", 60, 119.5), ("h", 3600, 47.5)):
        if time_s / size < below:
            return f"{time_s / size:.0f}{unit}"
    return f"{time_s / 86400:,.0f}d"


def duration(time_s: float) -> str:
    """Format a longer duration in two units: 42s, 4m 10s, 7h 3m, 2d 7h."""
    whole = max(0, int(time_s))
    for unit, size, lesser, lesser_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size:,}{unit} {whole % size // lesser_size}{lesser}"
    return f"{whole}s"


def dollars(usd: float) -> str:
    """$0.0021, $0.32, $14.10, $1,873."""
    if usd and usd < 0.1:
        return f"${usd:.4f}" if usd >= 0.0001 else "<$0.0001"
    return f"${usd:,.2f}" if usd < 999.995 else f"${usd:,.0f}"
