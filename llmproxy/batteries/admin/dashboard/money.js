// Money: decimal strings of dollars, as the API sends them. What is not known is never shown as $0.

import { count, percent, plural } from "./format.js";

const CENTS = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const NONE = "–";

/** Returns dollars with cents; small amounts keep two significant digits.
 * @param {string | number | null | undefined} amount */
export function money(amount) {
  if (amount === null || amount === undefined || amount === "") return NONE;
  const [sign, size] = [Number(amount) < 0 ? "−" : "", Math.abs(Number(amount))];
  if (size === 0) return "$0";
  if (size < 0.0001) return `${sign}<$0.0001`;
  if (size < 0.1) return `${sign}$${Number(size.toPrecision(2))}`;
  return `${sign}$${size < 1_000_000 ? CENTS.format(size) : count(size)}`;
}

/** Returns what a sum costs, and in smaller words how sure that is.
 * @param {{cost_usd: string | number | null, unknown_calls: number, calls: number,
 *   estimated_usd?: string | number | null}} sums */
export function costOf(sums) {
  const [cost, estimated] = [Number(sums.cost_usd), Number(sums.estimated_usd)];
  const unknown = sums.unknown_calls;
  if (unknown && cost === 0) {
    const whole = unknown >= sums.calls;
    return { text: "unknown", known: false, sure: whole ? "" : plural(unknown, "call") };
  }
  const sure = [
    estimated > 0 ? `${percent(cost > 0 ? estimated / cost : 1)} estimated` : "",
    unknown ? `+ ${plural(unknown, "call")} unknown` : "",
  ];
  const about = estimated > 0 ? "≈ " : "";
  return { text: `${about}${money(cost)}`, known: true, sure: sure.filter(Boolean).join(", ") };
}

/** Returns the difference to the period before: absolute and in percent.
 * @param {string | number | null} now
 * @param {string | number | null | undefined} before */
export function changeOf(now, before) {
  if (now === null || before === null || before === undefined)
    return { text: NONE, share: "", tone: "" };
  const difference = Number(now) - Number(before);
  if (Math.abs(difference) < 5e-10) return { text: "no change", share: "", tone: "" };
  const sign = difference > 0 ? "+" : "";
  const of = Number(before);
  const share =
    of > 0 ? `${difference > 0 ? "+" : "−"}${percent(Math.abs(difference) / of)}` : "new";
  return { text: `${sign}${money(difference)}`, share, tone: difference > 0 ? "more" : "less" };
}

const PERIODS = {
  total: "in total",
  hour: "an hour",
  day: "a day",
  week: "a week",
  month: "a month",
};

/** Returns an amount of a budget in its unit.
 * @param {string} unit
 * @param {string | number | null | undefined} amount */
export function budgetAmount(unit, amount) {
  if (amount === null || amount === undefined) return NONE;
  return unit === "tokens" ? `${count(Number(amount))} tokens` : money(amount);
}

/** Returns a budget in words: $200.00 a month.
 * @param {{unit: string, amount: string, per: string}} budget */
export const budgetWords = (budget) =>
  `${budgetAmount(budget.unit, budget.amount)} ${PERIODS[budget.per] ?? budget.per}`;

/** Returns a budget as the form takes it: 200/month, 5000000 tokens/day.
 * @param {{unit: string, amount: string, per: string}} budget */
export const budgetOrder = (budget) =>
  `${budget.amount}${budget.unit === "tokens" ? " tokens" : ""}/${budget.per}`;
