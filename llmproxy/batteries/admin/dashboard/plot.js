// Draws one chart as SVG: stacked areas from zero, or lines with gaps where values are unknown.

import { s } from "./dom.js";
import { clock } from "./format.js";
import { timeTicks, valueTicks } from "./scales.js";

const HEIGHT = 132;
const TOP = 8;
const BOTTOM = 20;
const LEFT = 46;
const RIGHT = 8;

/** Draws into `svg`, `width` px wide. `rows`: the values of each series (null: unknown).
 * Returns `indexAt(x)`, and `point(index)`, which draws the cursor. */
export function plot(svg, { width, times, rows, series, stacked, unit, ceiling = null }) {
  const tops = stacked ? stack(rows) : rows;
  const highest = Math.max(0, ...tops.flat().filter((value) => value !== null));
  const ticks = valueTicks(ceiling ?? highest);
  const x = (index) =>
    LEFT + (times.length < 2 ? 0 : (index / (times.length - 1)) * (width - LEFT - RIGHT));
  const y = (value) => HEIGHT - BOTTOM - (value / ticks[ticks.length - 1]) * (HEIGHT - TOP - BOTTOM);
  const cursor = s("g", { class: "cursor" });
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("height", HEIGHT);
  svg.replaceChildren(
    ...ticks.flatMap((value) => valueTick(value, y(value), width, unit)),
    ...timeAxis(times, x, width),
    ...(highest > 0 ? marks(tops, series, stacked, x, y) : []),
    cursor,
  );
  return {
    indexAt: (place) => Math.round(((place - LEFT) / (width - LEFT - RIGHT)) * (times.length - 1)),
    point: (index) =>
      cursor.replaceChildren(...(index === null ? [] : pointer(index, tops, series, x, y))),
  };
}

function stack(rows) {
  const sums = [];
  rows.forEach((row, index) =>
    sums.push(row.map((value, at) => value + (index ? sums[index - 1][at] : 0))),
  );
  return sums;
}

function valueTick(value, y, width, unit) {
  return [
    s("line", {
      class: value ? "grid" : "axis",
      x1: LEFT,
      x2: width - RIGHT,
      y1: crisp(y),
      y2: crisp(y),
    }),
    s("text", { class: "tick", x: LEFT - 6, y: y + 3.5, "text-anchor": "end" }, unit(value)),
  ];
}

function timeAxis(times, x, width) {
  if (times.length < 2) return [];
  const [from, to] = [times[0], times.at(-1)];
  const place = (at) => x(((at - from) / (to - from)) * (times.length - 1));
  return timeTicks(from, to, Math.max(2, Math.floor(width / 85))).flatMap((at) => {
    const here = place(at);
    const fits = here > LEFT - 2 && here < width - RIGHT - 14;
    return [
      s("line", {
        class: "axis",
        x1: crisp(here),
        x2: crisp(here),
        y1: HEIGHT - BOTTOM,
        y2: HEIGHT - BOTTOM + 3,
      }),
      ...(fits
        ? [
            s(
              "text",
              { class: "tick", x: here, y: HEIGHT - 5, "text-anchor": "middle" },
              clock(at, { seconds: false }),
            ),
          ]
        : []),
    ];
  });
}

function marks(tops, series, stacked, x, y) {
  const drawn = [];
  tops.forEach((row, index) => {
    const tone = series[index].tone;
    if (stacked) {
      const below = index ? tops[index - 1] : row.map(() => 0);
      drawn.push(s("path", { class: "area", "data-tone": tone, d: area(row, below, x, y) }));
    }
    // A layer without any value gets no line.
    const adds = !stacked || row.some((value, at) => value > (index ? tops[index - 1][at] : 0));
    if (adds) drawn.push(s("path", { class: "line", "data-tone": tone, d: line(row, x, y) }));
  });
  return drawn;
}

function line(row, x, y) {
  let path = "";
  let pen = false;
  row.forEach((value, index) => {
    if (value === null) {
      pen = false;
      return;
    }
    const alone = !pen && (row[index + 1] ?? null) === null;
    path += `${pen ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}${alone ? "h0.01" : ""}`;
    pen = true;
  });
  return path || "M0 0";
}

function area(row, below, x, y) {
  const there = row.map((value, index) => `${x(index).toFixed(1)} ${y(value).toFixed(1)}`);
  const back = below
    .map((value, index) => `${x(index).toFixed(1)} ${y(value).toFixed(1)}`)
    .reverse();
  return `M${there.join("L")}L${back.join("L")}Z`;
}

function pointer(index, tops, series, x, y) {
  const here = crisp(x(index));
  const dots = tops.map((row, at) =>
    row[index] === null
      ? null
      : s("circle", { "data-tone": series[at].tone, cx: x(index), cy: y(row[index]), r: 3 }),
  );
  return [s("line", { x1: here, x2: here, y1: TOP, y2: HEIGHT - BOTTOM }), ...dots.filter(Boolean)];
}

const crisp = (place) => Math.round(place) + 0.5;
