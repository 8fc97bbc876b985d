"""The plot: four panels of bars, the same colour for the same target everywhere."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from measure import (
    BLIND,
    CHUNK_INTERVALS_MS,
    CONNECTIONS,
    HIT,
    MISS,
    OPEN_STREAMS,
    PACED_CONNECTIONS,
    PACED_RATE,
    Sheet,
)

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

COLOURS = {
    "direct": "#9aa5b1",
    "nginx": "#52a675",
    "LLMProxy": "#3d6fb4",
    BLIND: "#a9c1e4",
    HIT: "#d9a441",
    MISS: "#b5651d",
}
Groups = dict[str, dict[str, float]]  # label on the x axis -> target -> value


def draw(sheets: list[Sheet], path: Path) -> None:
    """Write the PNG."""
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(10, 7), dpi=130, layout="constrained")
    (cpu, latency), (speed, memory) = figure.subplots(2, 2)
    names = [sheet.name for sheet in sheets if sheet.name in COLOURS]
    _bars(cpu, names, _cpu(sheets), "CPU of the proxy, microseconds", "{:.1f}")
    title = f"Latency at {PACED_RATE:,} requests/s, c={PACED_CONNECTIONS}, microseconds"
    _bars(latency, names, _latency(sheets), title, "{:,.0f}")
    _bars(speed, names, _speed(sheets), "Requests/s at full speed", "{:,.0f}")
    _bars(memory, names, _memory(sheets), "Resident memory (RSS), MB", "{:.0f}")
    handles, labels = speed.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path)


def _bars(axes: Axes, names: list[str], groups: Groups, title: str, form: str) -> None:
    """Side by side within each group; a target without a value there takes no room."""
    ticks = []
    left = 0.0
    labelled = set()
    for values in groups.values():
        shown = [name for name in names if name in values]
        for offset, name in enumerate(shown):
            label = name if name not in labelled else None
            labelled.add(name)
            bars = axes.bar(left + offset, values[name], 0.9, color=COLOURS[name], label=label)
            axes.bar_label(bars, [form.format(values[name])], padding=2, fontsize=6.5)
        ticks.append(left + (len(shown) - 1) / 2)
        left += len(shown) + 0.8
    axes.set_xticks(ticks, list(groups))
    axes.tick_params(axis="x", length=0)
    axes.set_title(title, fontsize=10, loc="left")
    axes.margins(y=0.12)


def _cpu(sheets: list[Sheet]) -> Groups:
    groups = {
        f"request\nc={c}": _medians({s.name: s.cpu_per_request[c] for s in sheets})
        for c in CONNECTIONS
    }
    for ms in CHUNK_INTERVALS_MS:
        groups[f"chunk\n{ms} ms"] = _medians({s.name: s.cpu_per_chunk[ms] for s in sheets})
    return groups


def _latency(sheets: list[Sheet]) -> Groups:
    return {
        "p50": _medians({s.name: s.paced_p50 for s in sheets}),
        "p99": _medians({s.name: s.paced_p99 for s in sheets}),
    }


def _speed(sheets: list[Sheet]) -> Groups:
    return {f"c={c}": _medians({s.name: s.requests_per_s[c] for s in sheets}) for c in CONNECTIONS}


def _memory(sheets: list[Sheet]) -> Groups:
    return {
        "idle": {s.name: s.idle.rss for s in sheets if s.idle},
        f"{OPEN_STREAMS:,} open streams": {s.name: s.streaming.rss for s in sheets if s.streaming},
    }


def _medians(samples: dict[str, list[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in samples.items() if values}
