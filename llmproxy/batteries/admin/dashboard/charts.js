// The charts, and where their points come from: the history once, then one point per event.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { byId, h, inputById } from "./dom.js";
import { count, millis, percent, rate, usd } from "./format.js";

const sum = (points, name) => points.reduce((total, point) => total + point[name], 0);
const share = (part, whole) => (whole > 0 ? part / whole : null);
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
        value: (point, stepS) => Math.max(0, point.calls - point.errors - point.cache_hits) / stepS,
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
      { name: "retries", tone: "third", value: (point) => share(point.retries, point.calls) },
      { name: "errors", tone: "bad", value: (point) => share(point.errors, point.calls) },
    ],
    total: (points) =>
      `${count(sum(points, "errors"))} errors, ${count(sum(points, "retries"))} retries`,
  },
  {
    title: "First byte",
    per: "after the request",
    stacked: false,
    unit: axisMillis,
    read: millis,
    nothing: "No answers in this time.",
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

/** Makes the charts. `open()` loads them; `point(event)` adds a point. */
export function charts() {
  const drawn = KINDS.map((kind) =>
    chart(kind, (index) => drawn.forEach((chart) => chart.show(index))),
  );
  byId("charts").replaceChildren(...drawn.map((chart) => chart.element));
  let span = "15m";
  let points = [];
  let stepS = 5;
  let loadedAt = 0;
  let asked = 0;

  const draw = () => drawn.forEach((chart) => chart.update(points, stepS));
  const load = async () => {
    const mine = (asked += 1);
    loadedAt = performance.now();
    const group = inputById("group").value;
    const history = await get(
      `admin/history?span=${span}${group ? `&group=${encodeURIComponent(group.slice(2))}` : ""}`,
    );
    if (mine !== asked) return; // a newer request is on its way
    [points, stepS] = [history.points, history.step_s];
    draw();
  };
  const reload = () => load().catch(() => {}); // the connection's status shows what is wrong
  byId("group").addEventListener("change", reload);
  byId("span").addEventListener("change", (event) => {
    span = /** @type {HTMLInputElement} */ (event.target).value;
    drawn.forEach((chart) => chart.show(null));
    reload();
  });
  return {
    open: reload,
    groups: (names) => offer(byId("group"), names),
    point({ point, step_s }) {
      // Events carry points of all groups; for another step or a single group, load the history.
      if (inputById("group").value === "" && stepS === step_s && points.length) {
        const last = points.at(-1).at;
        if (point.at > last + step_s) return reload(); // a point is missing
        // The history may have contained this step before it was complete.
        points = [...points.filter((earlier) => earlier.at < point.at), point].slice(-180);
        draw();
      } else if (performance.now() - loadedAt > (span === "15m" ? 4_000 : 60_000)) reload();
    },
  };
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
