// Spend over time: columns of days or hours, stacked by the first dimension.

import { chart } from "./chart.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { money } from "./money.js";

const TONES = ["first", "second", "third", "fourth", "fifth", "sixth"];
export const LAYERS = TONES.length; // beside the rest
const HEIGHT = 220;
const DAY_S = 86_400;

/** Makes the chart. `layers`: the largest values of the dimension, then the rest.
 * @param {{step: string, times: number[], layers: {name: string, amounts: number[]}[]}} data */
export function spendChart({ step, times, layers }) {
  const daily = step === "day";
  const points = times.map((at, index) => ({
    at,
    amounts: layers.map((layer) => layer.amounts[index]),
  }));
  const kind = {
    title: "Spend",
    per: daily ? "per day (UTC)" : "per hour",
    stacked: true,
    columns: daily ? dayOf : hourOf,
    height: HEIGHT,
    unit: axis,
    read: money,
    nothing: "Nothing was spent in this time.",
    series: layers.map(({ name }, index) => ({
      name: name || "(none)",
      tone: name === REST ? "rest" : TONES[index],
      value: (point) => point.amounts[index],
    })),
    total: (points) => money(sum(points.flatMap((point) => point.amounts))),
  };
  const drawn = chart(kind, (index) => drawn.show(index));
  drawn.update(points, daily ? DAY_S : 3600);
  return h("div", { class: "spend-chart" }, drawn.element);
}

const REST = "all others";
const OTHER = "(other)";

/** Sorts rows by time and value into layers: the largest six, and the rest.
 * @param {SpendRow[]} rows with the time and the dimension among their keys
 * @param {number[]} times
 * @param {(row: SpendRow) => number} timeOf
 * @param {string} dimension */
export function layersOf(rows, times, timeOf, dimension) {
  const place = new Map(times.map((at, index) => [at, index]));
  /** @type {Map<string, number[]>} */
  const byName = new Map();
  for (const row of rows) {
    const index = place.get(timeOf(row));
    if (index === undefined) continue;
    const name = dimension ? (row.keys[dimension] ?? "") : "spend";
    if (!byName.has(name))
      byName.set(
        name,
        times.map(() => 0),
      );
    /** @type {number[]} */ (byName.get(name))[index] += Number(row.cost_usd);
  }
  const folded = byName.get(OTHER); // what the proxy has summed up
  byName.delete(OTHER);
  const largest = [...byName].sort((a, b) => sum(b[1]) - sum(a[1]));
  const layers = largest.slice(0, TONES.length).map(([name, amounts]) => ({ name, amounts }));
  const rest = largest.slice(TONES.length);
  if (folded) rest.push([OTHER, folded]);
  if (rest.length)
    layers.push({
      name: REST,
      amounts: times.map((_, at) => sum(rest.map(([, amounts]) => amounts[at]))),
    });
  return layers;
}

const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);
const axis = (amount) =>
  amount ? `$${amount < 1000 ? Number(amount.toPrecision(3)) : count(amount)}` : "$0";

function dayOf(at) {
  return new Date(at * 1000).toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    timeZone: "UTC",
  });
}

function hourOf(at) {
  const time = new Date(at * 1000);
  const hour = `${String(time.getHours()).padStart(2, "0")}:00`;
  return time.getHours()
    ? hour
    : `${hour}, ${time.getDate()} ${time.toLocaleString("en", { month: "short" })}`;
}
