// The charts, and where their points come from: the history once, then one point per event.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { byId, h, inputById, setText } from "./dom.js";
import { clock, count, millis, moment, percent, rate, usd } from "./format.js";

const SPANS = ["15m", "24h", "7d", "30d"];
const MARKS = {
  start: "proxy started",
  reload: "config reloaded",
  drain: "drained",
  enable: "enabled",
  outage: "out",
  back: "back",
};
const LISTED = 8; // marks in words

const sum = (points, name) => points.reduce((total, point) => total + point[name], 0);
const share = (part, whole) => (whole > 0 ? part / whole : null);
const known = (value) => (value === null ? null : true);
const perS = (name) => (point, stepS) => point[name] / stepS;
const perMinute = (name) => (point, stepS) => (point[name] / stepS) * 60;
const perHour = (name) => (point, stepS) => (point[name] / stepS) * 3600;
const axisPercent = (value) => `${Number((value * 100).toPrecision(2))}%`;
const axisMillis = (ms) =>
  ms === 0
    ? "0"
    : ms < 1000
      ? `${Number(ms.toPrecision(3))} ms`
      : `${Number((ms / 1000).toPrecision(3))} s`;
const axisUsd = (amount) =>
  amount ? `$${amount < 1000 ? Number(amount.toPrecision(3)) : count(amount)}` : "$0";

const KINDS = [
  {
    title: "Calls",
    per: "per second",
    stacked: true,
    unit: rate,
    read: rate,
    nothing: "No calls in this time.",
    series: [
      { name: "errors", tone: "bad", value: perS("errors") },
      { name: "cached", tone: "second", value: perS("cache_hits") },
      {
        name: "answered",
        tone: "first",
        value: (point, stepS) => Math.max(0, point.calls - point.errors - (point.cache_hits ?? 0)) / stepS,
      },
    ],
    total: (points) => `${count(sum(points, "calls"))} calls`,
  },
  {
    title: "Failures",
    per: "of calls",
    stacked: false,
    unit: axisPercent,
    read: percent,
    nothing: "No errors, no retries.",
    series: [
      { name: "retries", tone: "third", value: (point) => known(point.retries) && share(point.retries, point.calls) },
      { name: "errors", tone: "bad", value: (point) => share(point.errors, point.calls) },
    ],
    total: (points) =>
      points.some((point) => point.retries === null)
        ? `${count(sum(points, "errors"))} errors`
        : `${count(sum(points, "errors"))} errors, ${count(sum(points, "retries"))} retries`,
  },
  {
    title: "First byte",
    per: "after the request",
    stacked: false,
    unit: axisMillis,
    read: millis,
    nothing: "No answers in this time.",
    stored: {
      title: "Duration",
      per: "of whole calls, mean",
      series: [{ name: "mean", tone: "first", value: (point) => point.total_mean_ms }],
      total: () => "",
    },
    series: [
      { name: "p99", tone: "third", value: (point) => point.first_byte_p99_ms },
      { name: "p50", tone: "first", value: (point) => point.first_byte_p50_ms },
    ],
    total: (points) => overhead(points),
  },
  {
    title: "Tokens",
    per: "per minute",
    stacked: true,
    unit: count,
    read: count,
    nothing: "No tokens in this time.",
    series: [
      { name: "output", tone: "second", value: perMinute("output_tokens") },
      { name: "input", tone: "first", value: perMinute("input_tokens") },
    ],
    total: (points) =>
      `${count(sum(points, "input_tokens") + sum(points, "output_tokens"))} tokens`,
  },
  {
    title: "Spend",
    per: "per hour",
    stacked: true,
    unit: axisUsd,
    read: usd,
    nothing: "No calls with a known price.",
    series: [
      { name: "spent", tone: "first", value: perHour("cost_usd") },
      { name: "saved", tone: "second", value: perHour("saved_usd") },
    ],
    total: (points) => `${usd(sum(points, "cost_usd"))} spent`,
  },
  {
    title: "Cache",
    per: "hits among cacheable calls",
    stacked: false,
    ceiling: 1,
    unit: axisPercent,
    read: percent,
    nothing: "No hits in this time.",
    stored: { nothing: "Hit rates are kept for 24 hours." },
    series: [
      {
        name: "hit rate",
        tone: "second",
        value: (point) => share(point.cache_hits, point.cache_hits + point.cache_misses),
      },
    ],
    total: (points) => {
      const [hits, misses] = [sum(points, "cache_hits"), sum(points, "cache_misses")];
      return hits + misses ? `${percent(hits / (hits + misses))} of ${count(hits + misses)}` : "";
    },
  },
];

/** Makes the charts. `open()` loads them; `point(event)` adds a point; `follow()` shows what the address
 * says. What the store keeps differs a little from what memory has: each has charts of its own.
 * @param {Address} address */
export function charts(address) {
  const boards = { memory: boardOf(KINDS), store: boardOf(KINDS.map(storedKind)) };
  byId("charts").replaceChildren(...boards.memory.map((chart) => chart.element));
  let history = null;
  let shown = ""; // the range of `history`
  let loadedAt = 0;
  let asked = 0;

  const span = () => (SPANS.includes(address.read("range")) ? address.read("range") : SPANS[0]);
  const draw = () => {
    const board = boards[history.source];
    if (byId("charts").firstChild !== board[0].element)
      byId("charts").replaceChildren(...board.map((chart) => chart.element));
    const from = history.points[0]?.at ?? 0;
    const marks = history.marks.filter(({ at }) => at >= from);
    board.forEach((chart) => chart.update(history.points, history.step_s, marks));
    drawMarks(marks, history.step_s);
    setText(byId("charts-note"), noteOf(history, span()));
  };
  const load = async () => {
    const mine = (asked += 1);
    loadedAt = performance.now();
    shown = span();
    const group = inputById("group").value;
    const found = await get(
      `admin/history?range=${shown}${group ? `&group=${encodeURIComponent(group.slice(2))}` : ""}`,
    );
    if (mine !== asked) return; // a newer request is on its way
    history = found;
    draw();
  };
  const reload = () => load().catch(() => {}); // the connection's status shows what is wrong
  byId("group").addEventListener("change", reload);
  byId("span").addEventListener("change", (event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.target);
    address.go({ range: value === SPANS[0] ? "" : value }, { replace: true });
  });
  return {
    open: reload,
    groups: (names) => offer(byId("group"), names),
    follow() {
      /** @type {HTMLInputElement} */ (
        byId("span").querySelector(`[value="${span()}"]`)
      ).checked = true;
      if (history === null || shown === span()) return;
      for (const board of Object.values(boards)) board.forEach((chart) => chart.show(null));
      reload();
    },
    point({ point, step_s }) {
      // Events carry points of all groups; for another step or a single group, load the history.
      const alike = inputById("group").value === "" && history?.step_s === step_s;
      if (alike && history.points.length) {
        const last = history.points.at(-1).at;
        if (point.at > last + step_s) return reload(); // a point is missing
        // The history may have contained this step before it was complete.
        const before = history.points.filter((earlier) => earlier.at < point.at);
        history.points = [...before, point].slice(-180);
        draw();
        if (performance.now() - loadedAt > 60_000) reload(); // new marks
      } else if (performance.now() - loadedAt > (span() === "15m" ? 4_000 : 60_000)) reload();
    },
  };
}

function boardOf(kinds) {
  const drawn = kinds.map((kind) =>
    chart(kind, (index) => drawn.forEach((chart) => chart.show(index))),
  );
  return drawn;
}

/** Returns the kind of chart for sums of hours: without series that the store does not sum up. */
function storedKind(kind) {
  const series = kind.series.filter(({ name }) => !["cached", "retries"].includes(name));
  return { ...kind, series, ...kind.stored };
}

/** @param {History} history
 * @param {string} span */
function noteOf({ source, note, since, points, step_s }, span) {
  if (note) return note;
  if (source === "store") {
    const steps = step_s > 3600 ? `${step_s / 3600} hours` : "an hour";
    return `From the store, all instances together, in steps of ${steps}. Failed calls include those that clients got wrong.`;
  }
  const young = points.length && since > points[0].at + step_s;
  return young && span !== "15m" ? `In memory since ${clock(since, { seconds: false })}.` : "";
}

/** Lists what happened, newest first.
 * @param {Mark[]} marks */
function drawMarks(marks, stepS) {
  const place = byId("marks");
  const key = JSON.stringify([marks, stepS]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const lines = marks.toReversed().map((mark) => {
    const time = stepS >= 3600 ? moment(mark.at, Date.now() / 1000) : clock(mark.at);
    const words = mark.subject ? `${mark.subject} ${MARKS[mark.what]}` : MARKS[mark.what];
    return h(
      "li",
      { "data-what": mark.what },
      h("span", { class: "flag", "aria-hidden": "true" }),
      h("span", { class: "soft" }, `${time} `),
      h("span", { dir: "auto" }, words),
    );
  });
  const more = lines.length - LISTED;
  place.replaceChildren(
    ...lines.slice(0, LISTED),
    ...(more > 0 ? [h("li", { class: "soft" }, `and ${more} before`)] : []),
  );
}

function offer(select, names) {
  const key = JSON.stringify(names);
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  const before = select.value;
  select.replaceChildren(
    h("option", { value: "" }, "all groups"),
    ...names.map((name) => h("option", { value: `g:${name}` }, name)),
  );
  select.value = names.some((name) => `g:${name}` === before) ? before : "";
}

function overhead(points) {
  const known = points.map((point) => point.overhead_p50_ms).filter((value) => value !== null);
  if (!known.length) return "";
  return `proxy overhead ${millis(known.toSorted((a, b) => a - b)[Math.floor(known.length / 2)])}`;
}
