// The teams: who belongs to them, their limits, and what is left of their budgets.

import { get } from "./api.js";
import { budgetBar } from "./budget_bar.js";
import { addUse } from "./budget_use.js";
import { dataTable, emptyState } from "./data_table.js";
import { h, setText } from "./dom.js";
import { focusRow, redraw } from "./focus.js";
import { count } from "./format.js";
import { createTeam } from "./key_forms.js";
import { limitWords, showTeam, stateChip } from "./key_panel.js";

const LIMIT = 100;

/** Fills `place` with the teams that the address names.
 * @param {HTMLElement} place
 * @param {KeysPage} page */
export function teamsList(place, page) {
  const note = h("p", { class: "soft", role: "status" });
  const found = h("div");
  const more = h("button", { type: "button", hidden: true }, "Show more");
  place.replaceChildren(found, h("div", { class: "foot" }, note, more));
  /** @type {TeamView[]} */
  let teams = [];
  let next = null;
  let asked = 0;

  const read = async (cursor) => {
    const mine = (asked += 1);
    const query = new URLSearchParams({ limit: String(LIMIT) });
    if (page.read("search")) query.set("search", page.read("search"));
    if (cursor) query.set("cursor", cursor);
    const answer = await get(`admin/teams?${query}`);
    await addUse(answer.teams);
    if (mine !== asked) return;
    teams = cursor ? [...teams, ...answer.teams] : answer.teams;
    next = answer.next;
    redraw(found, teams.length ? tableOf(teams, page) : nothing(page));
    more.hidden = next === null;
    setText(note, teams.length ? `${count(teams.length)} of ${count(answer.total)} teams` : "");
  };
  const load = (cursor = null) =>
    read(cursor).catch((refused) => {
      redraw(found, page.trouble(refused));
      more.hidden = true;
      setText(note, "");
    });
  more.addEventListener("click", async () => {
    const from = teams.length;
    await load(next);
    focusRow(found, from);
  });
  const openTeam = async (name) => {
    const closed = () => page.go({ of: "" });
    try {
      const path = `admin/teams/${encodeURIComponent(name)}`;
      const team = teams.find((one) => one.name === name) ?? (await get(path));
      showTeam(team, { mayChange: page.mayChange(), changed: page.changed, closed });
    } catch (refused) {
      page.failed(refused);
      closed();
    }
  };
  return { load, open: openTeam };
}

/** @param {TeamView[]} teams
 * @param {KeysPage} page */
function tableOf(teams, page) {
  const nameOf = (team) => {
    const link = page.link({ of: team.name }, team.name);
    link.setAttribute("dir", "auto");
    const about = team.source === "config" ? "from the config" : (team.owner ?? "");
    return [link, h("span", { class: "soft below", dir: "auto" }, about)];
  };
  return dataTable({
    caption: "Teams. The name of a team opens it.",
    rows: teams,
    id: (team) => team.name,
    tone: (team) => (team.state === "active" ? "" : "off"),
    columns: [
      { name: "Name", kind: "lead", cell: nameOf },
      { name: "State", cell: (team) => stateChip(team.state) },
      {
        name: "Keys",
        kind: "number",
        cell: (team) =>
          team.keys === null ? "–" : page.link({ view: "", team: team.name }, count(team.keys)),
      },
      { name: "Members", kind: "number", cell: (team) => count(team.members.length) },
      { name: "Limits", kind: "wide", cell: (team) => limitWords(team.limits) || "none" },
      {
        name: "Left",
        cell: (team) =>
          team.budgets.length
            ? team.budgets.map((budget) => budgetBar(budget, `of ${team.name}`))
            : h("span", { class: "soft" }, "no budget"),
      },
    ],
  });
}

/** @param {KeysPage} page */
function nothing(page) {
  if (page.read("search"))
    return emptyState("No team matches.", page.button({ search: "" }, "Show all teams"));
  const why =
    "A team has keys, members who see its spend, and limits and budgets that its keys share.";
  if (!page.mayChange()) return emptyState("There are no teams yet.", why);
  const make = h("button", { type: "button", class: "primary" }, "Create the first team");
  make.addEventListener("click", () => createTeam(() => page.changed()));
  return emptyState("There are no teams yet.", why, h("div", {}, make));
}
