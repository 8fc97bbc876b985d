// The page Keys: who may call, as which team, and what each has used and has left.

import { get } from "./api.js";
import { emptyState } from "./data_table.js";
import { h } from "./dom.js";
import { createKey, createTeam } from "./key_forms.js";
import { keysList } from "./keys_list.js";
import { refresh } from "./refreshing.js";
import { teamsList } from "./teams_list.js";
import { toast } from "./toast.js";

const TYPING_MS = 250;
const AGAIN_MS = 10_000;
const SEARCHED = "name, owner, note, prefix";
const STATES = [
  ["", "all states"],
  ["active", "active"],
  ["blocked", "blocked"],
  ["expired", "expired"],
];

/** Fills an element with the page.
 * @param {HTMLElement} place
 * @param {Address} address */
export function keysPage(place, address) {
  let me = /** @type {Me} */ ({ name: "", role: "viewer", team: null });
  let shown = "";
  const parts = partsOf();
  const list = h("div");
  place.replaceChildren(parts.head, parts.note, parts.bar, list);

  /** @type {KeysPage} */
  const page = {
    read: (name) => address.read(name),
    go: (changes) => address.go(changes),
    link: (changes, words) => address.link(changes, words),
    button: (changes, words) =>
      h("button", { type: "button", onclick: () => address.go(changes) }, words),
    mayChange: () => me.role === "admin",
    changed: () => current.load(),
    failed: (refused) => toast(refused.message, "bad"),
    trouble,
  };
  const lists = { keys: keysList, teams: teamsList };
  let current = lists.keys(list, page);

  const follow = () => {
    const view = address.read("view") === "teams" ? "teams" : "keys";
    drawBar(parts, address, view);
    const wanted = ["view", "search", "team", "state"].map((name) => address.read(name));
    const key = JSON.stringify(wanted);
    if (key !== shown) {
      if (!shown || JSON.parse(shown)[0] !== wanted[0]) current = lists[view](list, page);
      shown = key;
      current.load();
    }
    const id = address.read(view === "teams" ? "of" : "key");
    if (id && !document.querySelector("dialog[open]")) current.open(id);
  };
  listenTo(parts, address, page);
  const begin = async () => {
    try {
      me = await get("admin/me");
    } catch (refused) {
      // Without roles, whoever is signed in is the admin. Otherwise the list says what is wrong.
      if (refused.status === 404) me = { name: "", role: "admin", team: null };
    }
    parts.create.hidden = parts.createTeam.hidden = me.role !== "admin";
    parts.team.parentElement.hidden = me.role === "team";
    parts.note.textContent = me.role === "team" ? `You see the keys of the team ${me.team}.` : "";
    follow();
  };
  begin();
  refresh(place, AGAIN_MS, () => current.load(), () => current.isLong());
  return { follow };
}

function partsOf() {
  const create = h("button", { type: "button", class: "primary", hidden: true }, "Create key");
  const createTeam = h("button", { type: "button", class: "primary", hidden: true }, "Create team");
  const views = h("nav", { class: "switch views", "aria-label": "Keys or teams" });
  const search = h("input", {
    type: "search",
    placeholder: SEARCHED,
    "aria-label": "Search",
  });
  const team = h("input", {
    type: "search",
    placeholder: "all teams",
    "aria-label": "Team",
    list: "team-names",
  });
  const state = h(
    "select",
    { "aria-label": "State" },
    ...STATES.map(([value, words]) => h("option", { value }, words)),
  );
  const teamField = h("span", {}, team);
  return {
    ...{ create, createTeam, views, search, team, state, teamField },
    head: h("div", { class: "bar" }, h("h2", {}, "Keys"), views, create, createTeam),
    note: h("p", { class: "soft" }),
    bar: h("form", { class: "bar filters", role: "search" }, search, teamField, state),
  };
}

function drawBar(parts, address, view) {
  const links = [
    ["", "keys", "Keys"],
    ["teams", "teams", "Teams"],
  ].map(([value, name, words]) => {
    const link = address.link(
      { view: value, team: "", state: "", search: "", key: "", of: "" },
      words,
    );
    if (name === view) link.setAttribute("aria-current", "page");
    return link;
  });
  const focused = parts.views.contains(document.activeElement);
  parts.views.replaceChildren(...links);
  if (focused) parts.views.querySelector("[aria-current]")?.focus();
  for (const name of ["search", "team", "state"]) {
    if (document.activeElement !== parts[name]) parts[name].value = address.read(name);
  }
  const teams = view === "teams";
  parts.search.placeholder = teams ? "name" : SEARCHED;
  parts.teamField.classList.toggle("away", teams);
  parts.state.classList.toggle("away", teams);
  parts.create.classList.toggle("away", teams);
  parts.createTeam.classList.toggle("away", !teams);
}

function listenTo(parts, address, page) {
  let typing;
  const now = () =>
    address.go({
      search: parts.search.value.trim(),
      team: parts.team.value.trim(),
      state: parts.state.value,
    });
  const later = () => {
    clearTimeout(typing);
    typing = setTimeout(now, TYPING_MS);
  };
  parts.search.addEventListener("input", later);
  parts.team.addEventListener("input", later);
  parts.state.addEventListener("change", now);
  parts.bar.addEventListener("submit", (event) => event.preventDefault());
  parts.create.addEventListener("click", () => createKey(page.changed, address.read("team")));
  parts.createTeam.addEventListener("click", () => createTeam(() => page.changed()));
}

/** Says why there is no list, and what to do.
 * @param {{status: number, message: string}} refused */
function trouble(refused) {
  if (refused.status === 404)
    return emptyState(
      "This proxy keeps no keys.",
      "Keys that are made here are kept in a database. Set general_settings.database_url, or leave it out for a SQLite file, and start the proxy again.",
    );
  return emptyState("The keys cannot be read.", refused.message);
}
