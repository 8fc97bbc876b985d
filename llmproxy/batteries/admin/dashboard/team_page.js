// The overview of somebody who sees one team: its spend, its budgets, its keys and its latest calls.

import { get } from "./api.js";
import { budgetsList } from "./budgets_list.js";
import { callTable } from "./call_table.js";
import { dataTable, emptyState } from "./data_table.js";
import { h } from "./dom.js";
import { redraw } from "./focus.js";
import { stateChip, when } from "./key_panel.js";
import { money } from "./money.js";
import { refresh } from "./refreshing.js";
import { spendFigures } from "./spend_figures.js";

const SHOWN = 10;
const AGAIN_MS = 10_000;

/** Fills an element with the page.
 * @param {HTMLElement} place
 * @param {Address} address
 * @param {() => void} followTrace opens the trace that the address names
 * @param {Me} me */
export function teamPage(place, address, followTrace, me) {
  const found = h("div", { class: "spend" });
  place.replaceChildren(h("div", { class: "bar" }, h("h2", {}, "Team ", h("bdi", {}, me.team ?? ""))), found);
  const load = async () => {
    const [spend, budgets, keys, calls] = await Promise.all([
      part("admin/spend?since=30d&limit=1"),
      part("admin/budgets?limit=200"),
      part(`admin/keys?limit=${SHOWN}`),
      part(`admin/calls?limit=${SHOWN}`),
    ]);
    redraw(
      found,
      section("Spend of 30 days", address.link({}, "All spend", "spend"), spend, spendFigures),
      budgets.refused ? "" : budgetsList(budgets.answer.budgets),
      section("Keys", address.link({}, "All keys", "keys"), keys, keysOf(address)),
      section("Latest calls", address.link({}, "All calls", "calls"), calls, callsOf),
    );
  };
  load().then(followTrace);
  const reading = () => found.matches(":hover, :focus-within");
  refresh(place, AGAIN_MS, load, reading);
  return { follow: load };
}

/** Reads one part: what cannot be read does not take the others away.
 * @param {string} path */
async function part(path) {
  try {
    return { answer: await get(path), refused: null };
  } catch (refused) {
    return { answer: null, refused };
  }
}

/** @param {string} title
 * @param {HTMLElement} all leads to the whole page
 * @param {{answer: any, refused: {message: string} | null}} part
 * @param {(answer: any) => HTMLElement} draw */
function section(title, all, { answer, refused }, draw) {
  const content = refused ? emptyState("This cannot be read.", refused.message) : draw(answer);
  return h("section", {}, h("div", { class: "bar" }, h("h3", {}, title), all), content);
}

/** @param {Address} address
 * @returns {(answer: {keys: KeyView[]}) => HTMLElement} */
const keysOf =
  (address) =>
  ({ keys }) =>
    keys.length
      ? dataTable({
          caption: "The team's keys.",
          rows: keys,
          id: (key) => key.id,
          columns: [
            { name: "Name", kind: "lead", cell: (key) => address.link({ key: key.id }, key.name, "keys") },
            { name: "State", cell: (key) => stateChip(key.state) },
            { name: "Spent", kind: "number", cell: (key) => money(key.spent_usd) },
            { name: "Last used", cell: (key) => (key.last_used_at ? when(key.last_used_at) : "–") },
          ],
        })
      : emptyState("The team has no keys yet.", "An admin of this proxy creates them.");

/** @param {{calls: CallTrace[]}} answer */
const callsOf = ({ calls }) =>
  calls.length
    ? callTable(calls)
    : emptyState(
        "The team has made no calls yet.",
        "Send one with a key of the team, and it is shown here within seconds.",
      );
