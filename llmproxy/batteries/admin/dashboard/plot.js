// Draws one chart as SVG: stacked areas from zero, lines with gaps where values are unknown, or stacked
// columns for the sums of hours and days.

import { s } from "./dom.js";
import { clock, day } from "./format.js";
import { timeTicks, valueTicks } from "./scales.js";

const HEIGHT = 132; // unless the kind of chart has its own
const TOP = 8;
const BOTTOM = 20;
const LEFT = 50;
const RIGHT = 8;
const DAY_S = 86_400;
const LABEL = 64; // px that the name of a day needs

/** Draws into `svg`, `width` px wide. `rows`: the values of each series (null: unknown). With `columns`,
 * a function that names a time, each point is a column.
 * Returns `indexAt(x)`, and `point(index)`, which draws the cursor. */
export function plot(
  svg,
  {
    width,
    times,
    rows,
    series,
    stacked,
    unit,
    ceiling = null,
    columns = null,
    height = HEIGHT,
    marks: happened = [],
  },
) {
  const tops = stacked ? stack(rows) : rows;
  const highest = Math.max(0, ...tops.flat().filter((value) => value !== null));
  const ticks = valueTicks(ceiling ?? highest);
  const band = (width - LEFT - RIGHT) / times.length;
  const x = (index) =>
    columns
      ? LEFT + (index + 0.5) * band
      : LEFT + (times.length < 2 ? 0 : (index / (times.length - 1)) * (width - LEFT - RIGHT));
  const bottom = height - BOTTOM;
  const y = (value) => bottom - (value / ticks[ticks.length - 1]) * (bottom - TOP);
  const cursor = s("g", { class: "cursor" });
  const drawn = columns ? bars(tops, series, x, y, band) : marks(tops, series, stacked, x, y);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.replaceChildren(
    ...ticks.flatMap((value) => valueTick(value, y(value), width, unit)),
    ...(columns ? columnAxis(times, x, bottom, band, columns) : timeAxis(times, x, width, bottom)),
    ...(highest > 0 ? drawn : []),
    ...happened.flatMap((mark) => flag(mark, times, x, bottom)),
    cursor,
  );
  const point = (index) =>
    columns ? frame(x(index), bottom, band) : pointer(index, tops, series, x, y, bottom);
  return {
    indexAt: (place) =>
      columns
        ? Math.floor((place - LEFT) / band)
        : Math.round(((place - LEFT) / (width - LEFT - RIGHT)) * (times.length - 1)),
    point: (index) => cursor.replaceChildren(...(index === null ? [] : point(index))),
  };
}

/** Draws a mark at its moment: a line, and a flag on top. */
function flag({ at, what }, times, x, bottom) {
  const step = times.length > 1 ? times[1] - times[0] : 1;
  const place = (at - times[0]) / step;
  if (place < 0) return [];
  const here = crisp(x(Math.min(place, times.length - 1)));
  return [
    s("line", { class: "mark-line", "data-what": what, x1: here, x2: here, y1: TOP, y2: bottom }),
    s("path", { class: "mark-flag", "data-what": what, d: `M${here} ${TOP - 7}h7l-2.5 3.5 2.5 3.5h-7Z` }),
  ];
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

/** Names as many columns as fit. */
function columnAxis(times, x, bottom, band, name) {
  const step = Math.max(1, Math.ceil(LABEL / band));
  return times.flatMap((at, index) =>
    (times.length - 1 - index) % step || x(index) < LEFT + LABEL / 3
      ? []
      : [
          s(
            "text",
            {
              class: "tick",
              x: index === times.length - 1 ? x(index) + band / 2 : x(index),
              y: bottom + 15,
              "text-anchor": index === times.length - 1 ? "end" : "middle",
            },
            name(at),
          ),
        ],
  );
}

function timeAxis(times, x, width, bottom) {
  if (times.length < 2) return [];
  const [from, to] = [times[0], times.at(-1)];
  const nameOf = (at) => (to - from > 2 * DAY_S ? day(at, to + DAY_S) : clock(at, { seconds: false }));
  const place = (at) => x(((at - from) / (to - from)) * (times.length - 1));
  return timeTicks(from, to, Math.max(2, Math.floor(width / 85))).flatMap((at) => {
    const here = place(at);
    const fits = here > LEFT - 2 && here < width - RIGHT - 14;
    return [
      s("line", {
        class: "axis",
        x1: crisp(here),
        x2: crisp(here),
        y1: bottom,
        y2: bottom + 3,
      }),
      ...(fits
        ? [
            s(
              "text",
              { class: "tick", x: here, y: bottom + BOTTOM - 5, "text-anchor": "middle" },
              nameOf(at),
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

/** One path a series; a thin gap parts what lies above each other. */
function bars(tops, series, x, y, band) {
  const wide = Math.max(1, Math.min(band - 2, band * 0.8, 56));
  return tops.map((row, index) => {
    const path = row.map((value, at) => {
      const below = index ? tops[index - 1][at] : 0;
      if (!(value > below)) return "";
      const [top, high] = [y(value), Math.max(1, y(below) - y(value) - (index ? 1 : 0))];
      return `M${(x(at) - wide / 2).toFixed(1)} ${top.toFixed(1)}h${wide.toFixed(1)}v${high.toFixed(1)}h${(-wide).toFixed(1)}Z`;
    });
    return s("path", { class: "column", "data-tone": series[index].tone, d: path.join("") || "M0 0" });
  });
}

function frame(x, bottom, band) {
  return [s("rect", { x: x - band / 2, y: TOP, width: band, height: bottom - TOP })];
}

function pointer(index, tops, series, x, y, bottom) {
  const here = crisp(x(index));
  const dots = tops.map((row, at) =>
    row[index] === null
      ? null
      : s("circle", { "data-tone": series[at].tone, cx: x(index), cy: y(row[index]), r: 3 }),
  );
  return [s("line", { x1: here, x2: here, y1: TOP, y2: bottom }), ...dots.filter(Boolean)];
}

const crisp = (place) => Math.round(place) + 0.5;
