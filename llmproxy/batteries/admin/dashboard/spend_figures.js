// The sums over the table: what was spent and how sure that is, calls, tokens, and apart from all that
// what the proxy's own cache saved.

import { h } from "./dom.js";
import { count, percent } from "./format.js";
import { changeOf, costOf, money } from "./money.js";

/** @param {SpendAnswer} answer */
export function spendFigures({ total, before }) {
  const cost = costOf(total);
  const change = changeOf(total.cost_usd, before?.calls ? before.cost_usd : null);
  const tiles = [
    [
      "Spend",
      cost.text,
      cost.sure || (cost.known ? "every call is known exactly" : "no price is known"),
    ],
    ["Change", change.text, changeWords(change, before)],
    ["Calls", count(total.calls), total.errors ? `${count(total.errors)} failed` : "none failed"],
    [
      "Tokens",
      `${count(total.input_tokens)} in`,
      `${count(total.output_tokens)} out, ${count(total.cached_tokens)} cached`,
    ],
    ["Known cost", total.calls ? percent(total.coverage) : "–", coverageWords(total)],
    ["Saved by the cache", money(total.saved_usd), "not part of the spend"],
  ];
  return h(
    "dl",
    { class: "figures" },
    ...tiles.map(([name, value, below]) =>
      h(
        "div",
        {},
        h("dt", {}, name),
        h("dd", { class: "value" }, value),
        h("dd", { class: "soft" }, below),
      ),
    ),
  );
}

function changeWords(change, before) {
  if (!before?.calls) return "no calls before";
  if (before.cost_usd === null) return "unknown before";
  return [change.share, `from ${money(before.cost_usd)} before`].filter(Boolean).join(", ");
}

/** @param {SpendSums} total */
function coverageWords(total) {
  if (!total.calls) return "no calls";
  if (!total.unknown_calls) return "of all calls";
  return `${count(total.unknown_calls)} of ${count(total.calls)} calls unknown`;
}
