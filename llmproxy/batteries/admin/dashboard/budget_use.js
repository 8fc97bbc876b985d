// What is used and left of the budgets of keys and teams, which a list of them does not say.

import { get } from "./api.js";

const MOST = 1000;

/** Gives the budgets of keys or teams what is used and left of them.
 * @param {{budgets: BudgetView[]}[]} owners */
export async function addUse(owners) {
  if (!owners.some((owner) => owner.budgets.some((budget) => budget.used === undefined))) return;
  try {
    const { budgets } = await get(`admin/budgets?limit=${MOST}`);
    const known = new Map(budgets.map((budget) => [budget.id, budget]));
    for (const owner of owners)
      owner.budgets = owner.budgets.map((budget) => ({ ...budget, ...known.get(budget.id) }));
  } catch {
    // Their amounts are shown without what is left.
  }
}
