// The page Spend: whose money, for what, how sure that is, and what is left of the budgets.

import { get } from "./api.js";
import { budgetsList } from "./budgets_list.js";
import { emptyState } from "./data_table.js";
import { h, setText } from "./dom.js";
import { focusRow, redraw } from "./focus.js";
import { count } from "./format.js";
import { refresh } from "./refreshing.js";
import { LAYERS, layersOf, spendChart } from "./spend_chart.js";
import { spendFigures } from "./spend_figures.js";
import { spendFilters } from "./spend_filters.js";
import { queryOf, requestOf } from "./spend_query.js";
import { OTHER, restOf, rowKey, spendTable } from "./spend_table.js";

const LIMIT = 100;
const AGAIN_MS = 30_000;
const MOST = 10_000; // rows of a chart, and of the period before

/** Fills an element with the page; `follow()` reads the address again.
 * @param {HTMLElement} place
 * @param {Address} address */
export function spendPage(place, address) {
  const filters = spendFilters(address);
  const found = h("div", { class: "spend" });
  place.replaceChildren(filters.element, found);
  let asked = 0;
  let shown = "";

  const load = async ({ quietly = false } = {}) => {
    const mine = (asked += 1);
    const query = queryOf(address);
    if (!quietly) found.setAttribute("aria-busy", "true");
    try {
      const [answer, history, budgets] = await Promise.all([
        rowsOf(query),
        chartOf(query),
        get("admin/budgets?limit=200").catch(() => ({ budgets: [] })),
      ]);
      if (mine !== asked) return;
      const before = await beforeOf(query, answer).catch(() => null);
      if (mine !== asked) return;
      draw(found, { query, answer, history, before, budgets: budgets.budgets, address });
    } catch (refused) {
      if (mine === asked) redraw(found, trouble(refused));
    } finally {
      if (mine === asked) found.removeAttribute("aria-busy");
    }
  };
  const follow = () => {
    filters.follow();
    const now = JSON.stringify(queryOf(address));
    if (now === shown) return;
    shown = now;
    load();
  };
  follow();
  const reading = () =>
    found.querySelectorAll("tbody tr").length > LIMIT || // further pages
    found.querySelector(".spend-chart:is(:hover, :focus-within)") !== null;
  refresh(place, AGAIN_MS, () => load({ quietly: true }), reading);
  return { follow };
}

/** @param {ReturnType<typeof queryOf>} query
 * @param {string | null} [cursor]
 * @returns {Promise<SpendAnswer>} */
async function rowsOf(query, cursor = null) {
  const request = requestOf(query, withNames(query.by));
  request.set("limit", String(LIMIT));
  if (cursor) request.set("cursor", cursor);
  const answer = await get(`admin/spend?${request}`);
  return {
    ...answer,
    by: query.by,
    rows: answer.rows.map((row) => ({ ...row, id: rowKey(row, query.by) })),
  };
}

/** A key is known by its id; people know the name of its caller.
 * @param {string[]} by */
const withNames = (by) => [...new Set(by.flatMap((name) => [name, nameOf(name)]))];
const nameOf = (dimension) => (dimension === "key" ? "caller" : dimension);

/** Reads the rows of each day or hour by the first dimension.
 * @param {ReturnType<typeof queryOf>} query */
async function chartOf(query) {
  const dimension = query.by[0] === "day" ? (query.by[1] ?? "") : query.by[0];
  const request = requestOf(query, withNames([query.step, dimension].filter(Boolean)));
  request.set("limit", String(MOST));
  request.set("top", String(LAYERS));
  const { from, to, rows } = await get(`admin/spend?${request}`);
  return { dimension: nameOf(dimension), from, to, rows };
}

/** What each row cost in the period before; null where that is not known, because there are too many.
 * @param {ReturnType<typeof queryOf>} query
 * @param {SpendAnswer} answer */
async function beforeOf(query, { from, to }) {
  const earlier = { ...query, since: iso(from - (to - from)), until: iso(from) };
  const request = requestOf(earlier, withNames(query.by));
  request.set("limit", String(MOST));
  const { rows, next } = await get(`admin/spend?${request}`);
  const costs = new Map(rows.map((row) => [rowKey(row, query.by), row.cost_usd]));
  const absent = next ? null : "0";
  return (id) => (costs.has(id) ? costs.get(id) : absent);
}

const iso = (at) => new Date(at * 1000).toISOString();

function draw(place, { query, answer, history, before, budgets, address }) {
  if (!answer.total.calls)
    return redraw(place, nothing(query, address), budgetsList(budgets));
  const rows = [...answer.rows];
  let next = answer.next;
  const table = h("div");
  const note = h("p", { class: "soft", role: "status" });
  const more = h("button", { type: "button" }, "Show more");
  const drawRows = () => {
    // A call may have several tags, so that the total says nothing of those that are not shown.
    const folds = next !== null && !query.by.includes("tag");
    const all = folds ? [...rows, restOf(answer, rows)] : rows;
    redraw(table, spendTable({ answer, rows: all, before, address }));
    const rest = folds ? `; what is left is summed as ${OTHER}` : "";
    setText(note, next ? `the dearest ${count(rows.length)}${rest}` : "");
    more.hidden = !next;
  };
  more.addEventListener("click", async () => {
    const from = rows.length;
    const page = await rowsOf(query, next);
    rows.push(...page.rows);
    next = page.next;
    drawRows();
    focusRow(table, from);
  });
  drawRows();
  redraw(
    place,
    spendFigures(answer),
    adviceOn(answer, address) ?? "",
    // Columns of nothing would say that nothing was spent.
    answer.total.cost_usd === null ? "" : spendChart(chartData(query, history)),
    budgetsList(budgets),
    table,
    h("div", { class: "foot" }, note, more),
  );
}

/** @param {ReturnType<typeof queryOf>} query */
function chartData({ step }, { dimension, from, to, rows }) {
  const stepS = step === "day" ? 86_400 : 3_600;
  const times = [];
  for (let at = Math.floor(from / stepS) * stepS; at < to; at += stepS) times.push(at);
  const timeOf = (row) => timeIn(row.keys[step]);
  return { step, times, layers: layersOf(rows, times, timeOf, dimension) };
}

/** Returns the Unix time of 2026-11-27 or 2026-11-27T12Z. */
const timeIn = (text) =>
  Date.parse(`${text.slice(0, 10)}T${text.slice(11, 13) || "00"}:00:00Z`) / 1000;

/** What makes the figures better than they are.
 * @param {SpendAnswer} answer
 * @param {Address} address */
function adviceOn({ total, rows, by }, address) {
  if (total.unknown_calls === total.calls && total.calls)
    return advice(
      "No price is known for any of these calls.",
      "Their spend is unknown, not zero. Name the model of each endpoint (params.model) as its vendor does, or give its prices: input_cost_per_token and output_cost_per_token.",
    );
  if (by.length === 1 && by[0] === "team" && rows.every((row) => !row.keys.team))
    return advice(
      "None of these calls belongs to a team.",
      "Create keys with a team, and give each program its own: then this page shows who spends what. ",
      address.link({}, "Create keys", "keys"),
    );
  return null;
}

const advice = (title, ...next) =>
  h("div", { class: "advice" }, h("strong", {}, title), " ", ...next);

function nothing(query, address) {
  const again = (changes, words) =>
    h("button", { type: "button", onclick: () => address.go(changes) }, words);
  if (query.filters.length) {
    const without = Object.fromEntries(query.filters.map(([name]) => [name, ""]));
    return emptyState(
      "No calls match in this period.",
      h("div", {}, again(without, "Remove the filters")),
    );
  }
  if (query.since !== "365d")
    return emptyState(
      "No calls in this period.",
      "Spend is shown within seconds of the first call.",
      h("div", {}, again({ since: "365d", until: "" }, "Show a year")),
    );
  return emptyState(
    "No calls yet.",
    "Make a call through the proxy, and its cost is shown here within seconds.",
  );
}

/** Says why there are no figures, and what to do.
 * @param {{status: number, message: string}} refused */
function trouble(refused) {
  if (refused.status === 404)
    return emptyState(
      "This proxy keeps no spend.",
      "Spend is summed in a database. Set general_settings.database_url, or leave it out for a SQLite file, and start the proxy again.",
    );
  const title =
    refused.status === 400 ? "This cannot be shown together." : "The spend cannot be read.";
  return emptyState(title, refused.message);
}
