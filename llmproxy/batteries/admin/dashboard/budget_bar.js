// A budget: how much of it is used, what is left, and when it begins anew.

import { h } from "./dom.js";
import { moment } from "./format.js";
import { budgetAmount, budgetWords } from "./money.js";

const NEARLY = 0.8;

/** Makes a bar with words. A budget whose use is not known shows only its amount.
 * @param {BudgetView} budget
 * @param {string} [of] whose it is, for screen readers */
export function budgetBar(budget, of = "") {
  const words = h(
    "span",
    { class: "budget-words" },
    budgetWords(budget),
    budget.hard === false ? " (soft)" : "",
  );
  if (budget.used === undefined || budget.used === null)
    return h("div", { class: "budget" }, words);
  const amount = Number(budget.amount);
  const used = Number(budget.used) + Number(budget.reserved ?? 0);
  const share = amount > 0 ? Math.min(1, Math.max(0, used / amount)) : 1;
  const tone = share >= 1 ? "bad" : share >= NEARLY ? "warn" : "ok";
  const fill = h("span", { class: "fill" });
  fill.style.transform = `scaleX(${share})`;
  const left = budget.left ?? Math.max(0, amount - used);
  const meter = h(
    "span",
    {
      class: "meter",
      role: "meter",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": Math.round(share * 100),
      "aria-valuetext": `${Math.round(share * 100)} percent used`,
      "aria-label": `budget ${of}`.trim(),
    },
    fill,
  );
  const say = share >= 1 ? "used up" : `${budgetAmount(budget.unit, left)} left`;
  return h(
    "div",
    { class: "budget", "data-tone": tone },
    h(
      "span",
      { class: "budget-line" },
      h("strong", { class: "left" }, say),
      h("span", { class: "soft" }, " of "),
      words,
    ),
    meter,
    h("span", { class: "soft" }, resets(budget)),
  );
}

/** @param {BudgetView} budget */
function resets(budget) {
  const { resets_at: at } = budget;
  if (budget.per === "total" || at === null || at === undefined) return "";
  return `resets ${moment(at, Date.now() / 1000)}`;
}
