"""A simulation as a picture: an SVG, written by hand, without a library.

Above, the calls that each endpoint served, stacked; below, what clients saw: errors and waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from llmproxy.tools.simulate.results import BINS, EndpointCount, Results

WIDTH, HEIGHT = 960, 616
LEFT, RIGHT, TOP = 70, 40, 80
STACK_H, LANE_H, GAP = 250, 76, 46
PLOT_W = WIDTH - LEFT - RIGHT
# Tiers differ in hue, endpoints of a tier in lightness.
HUES = (205, 28, 135, 280, 350, 60)
MAX_LABELS = 12
ERROR, WAIT = "#c62828", "#6a51a3"
TICKS = 6


def as_svg(results: Results, title: str) -> str:
    """The whole picture, as one SVG document."""
    shown = [endpoint for endpoint in results.endpoints if endpoint.served]
    colours = _colours(shown)
    lane_1 = TOP + STACK_H + GAP
    lane_2 = lane_1 + LANE_H + GAP
    refused = [count / results.bin_s for count in results.refused_at]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>',
        *_legend(shown, colours),
        *_stack(shown, colours, results),
        *_bars(refused, lane_1, ERROR, "errors that clients saw, a second", results.seconds),
        *_bars(results.worst_wait_at, lane_2, WAIT, "the longest wait, s", results.seconds),
        _text(LEFT + PLOT_W / 2, HEIGHT - 6, "seconds", "middle"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _colours(shown: Sequence[EndpointCount]) -> list[str]:
    tiers = sorted({endpoint.tier for endpoint in shown})
    seen: dict[int, int] = {}
    colours = []
    for endpoint in shown:
        place = seen[endpoint.tier] = seen.get(endpoint.tier, -1) + 1
        members = sum(other.tier == endpoint.tier for other in shown)
        lightness = 42 + 34 * place / max(members, 2)
        hue = HUES[tiers.index(endpoint.tier) % len(HUES)]
        colours.append(f"hsl({hue},60%,{lightness:.0f}%)")
    return colours


def _legend(shown: Sequence[EndpointCount], colours: Sequence[str]) -> list[str]:
    """Names in a row, as far as they fit."""
    parts = []
    x = float(LEFT)
    for i, (endpoint, colour) in enumerate(zip(shown, colours, strict=True)):
        name = f"{endpoint.group}/{endpoint.name} (tier {endpoint.tier})"
        width = 30 + 6.6 * len(name)
        if i >= MAX_LABELS or x + width > WIDTH - RIGHT:
            parts.append(_text(x, 46, f"and {len(shown) - i} more"))
            break
        parts.append(f'<rect x="{x:.0f}" y="36" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 17, 46, name))
        x += width
    return parts


def _stack(shown: Sequence[EndpointCount], colours: Sequence[str], results: Results) -> list[str]:
    """Calls a second, endpoint upon endpoint, the first one at the bottom."""
    below = [0.0] * BINS
    layers = []
    for endpoint in shown:
        above = [
            under + count / results.bin_s
            for under, count in zip(below, endpoint.served_at, strict=True)
        ]
        layers.append((below, above))
        below = above
    top = _round_up(max(below))
    bottom_y = TOP + STACK_H

    def y(rate: float) -> float:
        return bottom_y - STACK_H * rate / top

    parts = _frame(TOP, STACK_H, top, "calls served, a second", results.seconds)
    for (under, over), colour in zip(layers, colours, strict=True):
        forth = [
            f"{_x(i + step):.1f},{y(rate):.1f}" for i, rate in enumerate(over) for step in (0, 1)
        ]
        back = [
            f"{_x(i + step):.1f},{y(rate):.1f}" for i, rate in enumerate(under) for step in (0, 1)
        ]
        parts.append(f'<polygon points="{" ".join(forth + back[::-1])}" fill="{colour}"/>')
    return parts


def _bars(values: Sequence[float], top_y: int, colour: str, name: str, seconds: float) -> list[str]:
    top = _round_up(max(values))
    parts = _frame(top_y, LANE_H, top, name, seconds)
    if not any(values):
        parts.append(_text(LEFT + PLOT_W / 2, top_y + LANE_H / 2, "none", "middle"))
    for i, value in enumerate(values):
        if value:
            height = max(1.0, LANE_H * value / top)
            parts.append(
                f'<rect x="{_x(i):.1f}" y="{top_y + LANE_H - height:.1f}" '
                f'width="{PLOT_W / BINS:.1f}" height="{height:.1f}" fill="{colour}"/>'
            )
    return parts


def _frame(top_y: int, height: int, top: float, name: str, seconds: float) -> list[str]:
    """Axes, the scale, and what is shown."""
    bottom = top_y + height
    parts = [_text(LEFT, top_y - 6, name)]
    for part in (0.0, 0.5, 1.0):
        y = bottom - height * part
        parts.append(
            f'<line x1="{LEFT}" x2="{LEFT + PLOT_W}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        )
        parts.append(_text(LEFT - 8, y + 4, f"{top * part:g}", "end"))
    for tick in range(TICKS + 1):
        x = LEFT + PLOT_W * tick / TICKS
        parts.append(_text(x, bottom + 15, f"{seconds * tick / TICKS:,.4g}", "middle"))
    return parts


def _round_up(value: float) -> float:
    """To an even part of a power of ten, so that the scale is read at a glance."""
    scale = 1.0
    while scale < value:
        scale *= 10
    while value and scale / 10 >= value:
        scale /= 10
    return next((scale * part for part in (0.2, 0.4, 0.6, 0.8) if scale * part >= value > 0), scale)


def _x(place: float) -> float:
    return LEFT + PLOT_W * place / BINS


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
