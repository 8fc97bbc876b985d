// One chart with its title, its total, and its values at the latest point or at the one selected by
// mouse, touch or arrow keys. Screen readers get the same in words.

import { h, s, setAttribute, setText } from "./dom.js";
import { clock, moment } from "./format.js";
import { plot } from "./plot.js";

/** Makes a chart of `kind` (see charts.js). Calls `pointAt(index or null)` when a point is selected. */
export function chart(kind, pointAt) {
  const parts = partsOf(kind);
  let points = [];
  let stepS = 1;
  let rows = [];
  let marks = [];
  let drawn = null;
  let at = null;

  const draw = () => {
    const width = Math.floor(parts.plot.clientWidth);
    if (!width || !points.length) return;
    const times = points.map((point) => point.at);
    drawn = plot(parts.svg, { ...kind, width, times, rows, marks });
    show(at);
  };
  const nameOf =
    kind.columns ??
    ((at) => (stepS < 3600 ? clock(at, { seconds: stepS < 60 }) : moment(at, points.at(-1).at)));
  const show = (index) => {
    at = index;
    if (!points.length) return;
    const read = index ?? points.length - 1;
    const values = kind.series.map((_, index) => kind.read(rows[index][read]));
    const when = nameOf(points[read].at);
    showReading(parts, kind, values, when);
    setText(parts.total, index === null ? kind.total(points, stepS) : when);
    parts.total.dataset.moment = index !== null;
    setAttribute(parts.plot, "aria-valuemax", points.length - 1);
    setAttribute(parts.plot, "aria-valuenow", read);
    drawn?.point(index);
  };
  const move = (index) => pointAt(Math.min(points.length - 1, Math.max(0, index)));
  listenTo(parts.plot, {
    place: (place) => drawn && move(drawn.indexAt(place)),
    step: (step) => move((at ?? points.length - 1) + step),
    end: (end) => move(end ? points.length - 1 : 0),
    leave: () => pointAt(null),
  });
  new ResizeObserver(draw).observe(parts.plot);
  return {
    element: parts.element,
    show,
    update(now, step, happened = []) {
      [points, stepS, marks] = [now, step, happened];
      rows = kind.series.map(({ value }) => points.map((point) => value(point, stepS)));
      const nothing = rows.flat().every((value) => !value);
      setText(parts.empty, nothing ? kind.nothing : "");
      if (at !== null && at >= points.length) at = null;
      setText(parts.summary, summaryOf(kind, points, rows, stepS, nameOf));
      draw();
    },
  };
}

function partsOf(kind) {
  const values = kind.series.map(() => h("span", { class: "reading" }));
  const svg = s("svg", { "aria-hidden": "true", width: "100%" });
  const title = h("span", { class: "title" }, kind.title);
  const total = h("span", { class: "total" });
  const empty = h("span", { class: "empty" });
  const legend = h(
    "ul",
    { class: "legend" },
    ...kind.series.map(({ name, tone }, index) =>
      h("li", {}, h("span", { class: "swatch", "data-tone": tone }), `${name} `, values[index]),
    ),
  );
  const summary = h("p", { class: "hidden" });
  const area = h(
    "div",
    {
      class: "plot",
      tabindex: "0",
      role: "slider",
      "aria-valuemin": 0,
      "aria-valuenow": 0,
      "aria-label": `${kind.title}: use arrow keys to read values`,
    },
    svg,
    empty,
  );
  const element = h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, title, h("span", { class: "soft" }, ` ${kind.per}`), total),
    legend,
    area,
    summary,
  );
  return { element, svg, plot: area, values, total, empty, summary };
}

function showReading(parts, kind, values, when) {
  values.forEach((value, index) => setText(parts.values[index], value));
  const words = kind.series.map(({ name }, index) => `${name} ${values[index]}`).join(", ");
  setAttribute(parts.plot, "aria-valuetext", `${when}: ${words}`);
}

function listenTo(area, { place, step, end, leave }) {
  const at = (event) => place(event.clientX - area.getBoundingClientRect().left);
  area.addEventListener("pointermove", at);
  area.addEventListener("pointerdown", at);
  area.addEventListener("pointerleave", leave);
  area.addEventListener("blur", leave);
  area.addEventListener("keydown", (event) => {
    const keys = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowDown: -1,
      ArrowUp: 1,
      PageDown: -12,
      PageUp: 12,
    };
    if (event.key in keys) step(keys[event.key]);
    else if (event.key === "Home" || event.key === "End") end(event.key === "End");
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
  });
}

/** Returns the chart in a sentence. */
function summaryOf(kind, points, rows, stepS, nameOf) {
  if (!points.length) return "";
  const parts = kind.series.map(({ name }, index) => {
    const known = rows[index].flatMap((value, at) => (value === null ? [] : [[value, at]]));
    if (!known.length) return `${name}: nothing known`;
    const [most, when] = known.reduce((best, next) => (next[0] > best[0] ? next : best));
    return `${name}: ${kind.read(known.at(-1)[0])} at the end, at most ${kind.read(most)} at ${nameOf(points[when].at)}`;
  });
  return `From ${nameOf(points[0].at)} to ${nameOf(points.at(-1).at)}, ${kind.per}. ${parts.join("; ")}. ${kind.total(points, stepS)}`;
}
