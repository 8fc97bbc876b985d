// The budgets: what is left of each and when it begins anew, the fullest first.

import { budgetBar } from "./budget_bar.js";
import { h } from "./dom.js";
import { plural } from "./format.js";

const SHOWN = 6;
let allShown = false; // also when the page reads itself anew
const KINDS = { key: "Key", team: "Team", tag: "Tag", group: "Group", all: "All calls" };

/** Returns a section; an element without children if there are none.
 * @param {BudgetView[]} budgets */
export function budgetsList(budgets) {
  if (!budgets.length) return h("div");
  const cards = budgets
    .toSorted((a, b) => usedShare(b) - usedShare(a))
    .map((budget) => {
      const [kind, subject] = subjectOf(budget);
      const of = h(
        "p",
        { class: "budget-of" },
        h("span", { class: "soft" }, `${KINDS[kind] ?? kind} `),
        h("bdi", {}, subject),
      );
      return h("li", { class: "card" }, of, budgetBar(budget, `of ${subject || kind}`));
    });
  const rest = allShown ? [] : cards.slice(SHOWN);
  for (const card of rest) card.hidden = true;
  const more = h(
    "button",
    { type: "button", class: "small" },
    `Show ${plural(rest.length, "more budget")}`,
  );
  more.addEventListener("click", () => {
    allShown = true;
    for (const card of rest) card.hidden = false;
    more.remove();
  });
  return h(
    "section",
    { class: "budgets", "aria-label": "Budgets" },
    h("h3", {}, "Budgets"),
    h("ul", {}, ...cards),
    rest.length > 0 && more,
  );
}

/** Returns the kind and the name of whose budget it is.
 * @param {BudgetView} budget
 * @returns {[string, string]} */
function subjectOf({ for: whose }) {
  if (!whose || typeof whose === "string") return [whose || "all", ""];
  const [kind, subject] = Object.entries(whose)[0] ?? ["all", ""];
  return [kind, subject];
}

/** @param {BudgetView} budget */
function usedShare(budget) {
  const amount = Number(budget.amount);
  return amount > 0 ? Number(budget.used ?? 0) / amount : 1;
}
