// Spend by its dimensions, the dearest first; each name leads to what is behind it.

import { dataTable } from "./data_table.js";
import { h } from "./dom.js";
import { count, percent } from "./format.js";
import { changeOf, costOf, money } from "./money.js";
import { FILTERS, wordOf } from "./spend_query.js";

const DEEPER = {
  team: "key",
  key: "model",
  caller: "model",
  model: "endpoint",
  group: "endpoint",
  endpoint: "model",
  tag: "day", // labels are summed apart from the other dimensions
  end_user: "day",
};
export const OTHER = "(other)";
const NONE = "(none)"; // in a filter: calls that have none
const FILTERABLE = new Set(FILTERS.map(([name]) => name));

/** @param {{answer: SpendAnswer, rows: SpendRow[], before: ((id: string) => string | null) | null, address: Address}} options
 * `before`: what each row cost in the period before */
export function spendTable({ answer, rows, before, address }) {
  const whole = Number(answer.total.cost_usd);
  const [first] = answer.by;
  return dataTable({
    caption: `Spend by ${answer.by.map(wordOf).join(" and ")}, the dearest first.`,
    rows,
    id: (row) => row.id,
    columns: [
      ...answer.by.map(
        (dimension) =>
          /** @type {import("./data_table.js").Column} */ ({
            name: wordOf(dimension),
            kind: dimension === first ? "lead" : "",
            cell: (row) => nameOf(row, dimension, address),
          }),
      ),
      { name: "Spend", kind: "number", cell: costCell },
      { name: "Share", kind: "wide", cell: (row) => shareBar(row, whole) },
      { name: "Change", kind: "number", cell: (row) => changeCell(row, before) },
      {
        name: "Calls",
        kind: "number",
        cell: (row) => [count(row.calls), below(row.errors ? `${count(row.errors)} failed` : "")],
      },
      {
        name: "Tokens",
        kind: "number wide",
        cell: (row) => [
          `${count(row.input_tokens)} → ${count(row.output_tokens)}`,
          below(row.cached_tokens ? `${count(row.cached_tokens)} cached` : ""),
        ],
      },
      { name: "Known", kind: "number", cell: (row) => (row.calls ? percent(row.coverage) : "–") },
      {
        name: "Saved",
        kind: "number wide",
        cell: (row) => (Number(row.saved_usd) ? money(row.saved_usd) : "–"),
      },
    ],
  });
}

/** Sums up what a table does not show.
 * @param {SpendAnswer} answer
 * @param {SpendRow[]} rows that it shows
 * @returns {SpendRow} */
export function restOf({ total, by }, rows) {
  const left = (name) =>
    rows.reduce((rest, row) => rest - Number(row[name] ?? 0), Number(total[name] ?? 0));
  const [calls, unknown] = [left("calls"), left("unknown_calls")];
  const dollars = (name) => Math.max(0, left(name)).toFixed(9);
  return {
    keys: Object.fromEntries(by.map((name) => [name, OTHER])),
    id: OTHER,
    calls,
    errors: left("errors"),
    input_tokens: left("input_tokens"),
    output_tokens: left("output_tokens"),
    cached_tokens: left("cached_tokens"),
    cost_usd: calls > unknown ? dollars("cost_usd") : null,
    exact_usd: dollars("exact_usd"),
    estimated_usd: dollars("estimated_usd"),
    unknown_calls: unknown,
    coverage: calls ? (calls - unknown) / calls : null,
    saved_usd: dollars("saved_usd"),
  };
}

/** What names a row among others.
 * @param {SpendRow} row
 * @param {string[]} by */
export const rowKey = (row, by) => JSON.stringify(by.map((name) => row.keys[name] ?? ""));

const below = (words) => words && h("span", { class: "soft below" }, words);

/** @param {SpendRow} row */
function costCell(row) {
  const { text, known, sure } = costOf(row);
  return [known ? h("strong", {}, text) : h("span", { class: "soft" }, text), below(sure)];
}

/** @param {SpendRow} row */
function changeCell(row, before) {
  if (!before || row.id === OTHER) return "–";
  const change = changeOf(row.cost_usd, before(row.id));
  return [change.text, below(change.share)];
}

/** @param {SpendRow} row
 * @param {number} whole */
function shareBar(row, whole) {
  if (row.cost_usd === null || !(whole > 0)) return "–";
  const share = Number(row.cost_usd) / whole;
  const fill = h("span", { class: "fill" });
  fill.style.transform = `scaleX(${Math.max(0, Math.min(1, share))})`;
  return h(
    "span",
    { class: "share" },
    h("span", { class: "meter", "aria-hidden": "true" }, fill),
    percent(share),
  );
}

/** @param {SpendRow} row
 * @param {string} dimension
 * @param {Address} address */
function nameOf(row, dimension, address) {
  const value = row.keys[dimension] ?? "";
  const words = (dimension === "key" && row.keys.caller) || value;
  const none = `no ${wordOf(dimension).toLowerCase()}`;
  if (!FILTERABLE.has(dimension) || value === OTHER) return words;
  const next = DEEPER[dimension] ?? "model";
  const by = address.read(next) ? "day" : next;
  const link = address.link({ [dimension]: value || NONE, by }, words || none);
  link.setAttribute("dir", "auto");
  link.title = `by ${wordOf(by).toLowerCase()}`;
  return link;
}
