"""A simulation as a picture: an SVG, written without a library (decision 035).

Above, the calls that each endpoint served, stacked; below, what clients saw: errors and waits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import msgspec

from llmproxy.tools.simulate.results import BINS, EndpointCount, Results

WIDTH, HEIGHT = 960, 620
LEFT, RIGHT, TOP = 50, 20, 84
STACK_H, LANE_H, GAP = 280, 70, 34
PLOT_W = WIDTH - LEFT - RIGHT
# Tiers differ in hue, endpoints of a tier in lightness.
HUES = (205, 28, 135, 280, 350, 60)
MAX_LABELS = 12
ERROR, WAIT, GRID, AXIS = "#c62828", "#6a51a3", "#ddd", "#555"


class Panel(msgspec.Struct):
    """One plot over time. `layers`: (values of each bin, colour), drawn upon each other."""

    name: str
    top_y: int
    height: int
    layers: Sequence[tuple[Sequence[float], str]]


def as_svg(results: Results, title: str) -> str:
    """Return the picture as one SVG document."""
    shown = [endpoint for endpoint in results.endpoints if endpoint.served]
    colours = _colours(shown)
    served = [[count / results.bin_s for count in endpoint.served_at] for endpoint in shown]
    errors = [count / results.bin_s for count in results.refused_at]
    lane_1 = TOP + STACK_H + GAP
    lane_2 = lane_1 + LANE_H + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="16">{escape(title)}</text>',
        *_legend(shown, colours),
    ]
    for panel in (
        Panel("calls served per second", TOP, STACK_H, list(zip(served, colours, strict=True))),
        Panel("errors that clients saw per second", lane_1, LANE_H, [(errors, ERROR)]),
        Panel("longest wait in seconds", lane_2, LANE_H, [(results.worst_wait_at, WAIT)]),
    ):
        parts += _drawn(panel)
    seconds = results.seconds or 1.0  # a single recorded call takes none
    step = _step(seconds, 8)
    for number in range(int(seconds / step + 1e-9) + 1):
        x = LEFT + PLOT_W * number * step / seconds
        parts.append(_text(x, lane_2 + LANE_H + 18, f"{number * step:,.10g}", "middle"))
    parts.append(_text(LEFT + PLOT_W / 2, HEIGHT - 8, "seconds", "middle"))
    return "\n".join([*parts, "</svg>"]) + "\n"


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
            parts.append(_text(x, 47, f"and {len(shown) - i} more"))
            break
        parts.append(f'<rect x="{x:.0f}" y="37" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 17, 47, name))
        x += width
    return parts


def _drawn(panel: Panel) -> list[str]:
    """Return the scale, the grid, the layers and the time axis of a panel."""
    bottom_y = panel.top_y + panel.height
    highest = max(map(sum, zip(*(values for values, _ in panel.layers), strict=True)), default=0)
    parts = [_text(LEFT, panel.top_y - 8, panel.name)]
    if not highest:
        parts.append(_text(LEFT + PLOT_W / 2, panel.top_y + panel.height / 2, "none", "middle"))
        return [*parts, _line(bottom_y, AXIS)]
    step = _step(highest, 1 + panel.height // 50)
    top = step * math.ceil(highest / step - 1e-9)
    for number in range(round(top / step) + 1):
        y = bottom_y - panel.height * number * step / top
        parts += [_line(y, GRID), _text(LEFT - 6, y + 4, f"{number * step:,.10g}", "end")]
    # A single error must be visible, even beside thousands.
    least = top / panel.height if len(panel.layers) == 1 else 0.0
    below = [0.0] * BINS
    for values, colour in panel.layers:
        above = [
            low + (value and max(value, least)) for low, value in zip(below, values, strict=True)
        ]
        outline = [*_edge(above), *reversed(list(_edge(below)))]
        points = " ".join(f"{x:.1f},{bottom_y - panel.height * y / top:.1f}" for x, y in outline)
        parts.append(f'<polygon points="{points}" fill="{colour}"/>')
        below = above
    return [*parts, _line(bottom_y, AXIS)]


def _edge(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the corners of a line of steps: (x in the picture, value)."""
    return [
        (LEFT + PLOT_W * (i + end) / BINS, value)
        for i, value in enumerate(values)
        for end in (0, 1)
    ]


def _step(highest: float, most: int) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that divides a scale into so few parts."""
    power = 10.0 ** math.floor(math.log10(highest / most))
    return next(power * part for part in (1, 2, 5, 10) if power * part * most >= highest)


def _line(y: float, colour: str) -> str:
    return f'<line x1="{LEFT}" x2="{LEFT + PLOT_W}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
