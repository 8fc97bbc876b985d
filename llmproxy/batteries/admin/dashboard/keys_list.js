// The keys: searched, filtered and paged by the proxy, so that ten thousand are no burden.

import { get } from "./api.js";
import { budgetBar } from "./budget_bar.js";
import { addUse } from "./budget_use.js";
import { dataTable, emptyState } from "./data_table.js";
import { h } from "./dom.js";
import { createKey } from "./key_forms.js";
import { showKey, stateChip, when } from "./key_panel.js";
import { money } from "./money.js";
import { pagedList } from "./paged_list.js";

const LIMIT = "50";

/** Fills `place` with the keys that the address names. `page`: what the page offers to its parts.
 * @param {HTMLElement} place
 * @param {KeysPage} page */
export function keysList(place, page) {
  const list = pagedList(place, {
    path: "admin/keys",
    query: () => ({
      limit: LIMIT,
      search: page.read("search"),
      team: page.read("team"),
      state: page.read("state"),
    }),
    async rowsOf(/** @type {{keys: KeyView[]}} */ { keys }) {
      await addUse(keys);
      return keys;
    },
    tableOf: (keys) => tableOf(keys, page),
    nothing: () => nothing(page),
    trouble: page.trouble,
    word: (total) => (total === 1 ? "key" : "keys"),
  });
  return { load: list.load, isLong: list.isLong, open: (id) => openKey(id, list.rows(), page) };
}

/** Opens the key of the address.
 * @param {string} id
 * @param {KeyView[]} known
 * @param {KeysPage} page */
async function openKey(id, known, page) {
  const { mayChange, changed } = page;
  const closed = () => page.go({ key: "" });
  try {
    const key =
      known.find((one) => one.id === id) ?? (await get(`admin/keys/${encodeURIComponent(id)}`));
    showKey(key, { mayChange: mayChange(), changed, closed });
  } catch (refused) {
    page.failed(refused);
    closed();
  }
}

/** @param {KeyView[]} keys
 * @param {KeysPage} page */
function tableOf(keys, page) {
  return dataTable({
    caption: "Keys. The name of a key opens it.",
    rows: keys,
    id: (key) => key.id,
    tone: (key) => (key.state === "active" ? "" : "off"),
    columns: [
      { name: "Name", kind: "lead", cell: (key) => nameOf(key, page) },
      { name: "Team", cell: (key) => teamLink(key.team, page) },
      { name: "Owner", kind: "wide", cell: (key) => h("span", { dir: "auto" }, key.owner ?? "–") },
      { name: "State", cell: (key) => stateChip(key.state) },
      { name: "Spent", kind: "number", cell: (key) => money(key.spent_usd) },
      { name: "Left", cell: leftOf },
      {
        name: "Last used",
        cell: (key) =>
          key.last_used_at ? when(key.last_used_at) : key.source === "config" ? "–" : "never",
      },
      {
        name: "Expires",
        kind: "wide",
        cell: (key) => when(key.expires_at) ?? (key.source === "config" ? "–" : "never"),
      },
    ],
  });
}

/** @param {KeyView} key
 * @param {KeysPage} page */
function nameOf(key, page) {
  const link = page.link({ key: key.id }, key.name);
  link.setAttribute("dir", "auto");
  const about = key.source === "config" ? "from the config" : `${key.prefix}…`;
  return [link, h("span", { class: "soft below" }, about)];
}

function teamLink(team, page) {
  if (!team) return "–";
  const link = page.link({ team }, team);
  link.setAttribute("dir", "auto");
  return link;
}

/** @param {KeyView} key */
function leftOf(key) {
  if (key.budgets.length) return key.budgets.map((budget) => budgetBar(budget, `of ${key.name}`));
  return h("span", { class: "soft" }, "no budget");
}

/** @param {KeysPage} page */
function nothing(page) {
  if (["search", "team", "state"].some((name) => page.read(name)))
    return emptyState(
      "No key matches.",
      page.button({ search: "", team: "", state: "" }, "Show all keys"),
    );
  const steps = "A key names who calls: its spend, its limits and its budget are counted apart.";
  if (!page.mayChange())
    return emptyState("There are no keys yet.", steps, "An admin can create them.");
  const make = h("button", { type: "button", class: "primary" }, "Create the first key");
  make.addEventListener("click", () => createKey(page.changed));
  return emptyState("There are no keys yet.", steps, h("div", {}, make));
}
