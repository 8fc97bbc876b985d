// The teams: who belongs to them, their limits, and what is left of their budgets.

import { get } from "./api.js";
import { budgetBar } from "./budget_bar.js";
import { addUse } from "./budget_use.js";
import { dataTable, emptyState } from "./data_table.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { createTeam } from "./key_forms.js";
import { limitWords, showTeam, stateChip } from "./key_panel.js";
import { pagedList } from "./paged_list.js";

const LIMIT = "100";

/** Fills `place` with the teams that the address names.
 * @param {HTMLElement} place
 * @param {KeysPage} page */
export function teamsList(place, page) {
  const list = pagedList(place, {
    path: "admin/teams",
    query: () => ({ limit: LIMIT, search: page.read("search") }),
    async rowsOf(/** @type {{teams: TeamView[]}} */ { teams }) {
      await addUse(teams);
      return teams;
    },
    tableOf: (teams) => tableOf(teams, page),
    nothing: () => nothing(page),
    trouble: page.trouble,
    word: (total) => (total === 1 ? "team" : "teams"),
  });
  const openTeam = async (name) => {
    const closed = () => page.go({ of: "" });
    try {
      const path = `admin/teams/${encodeURIComponent(name)}`;
      const team = list.rows().find((one) => one.name === name) ?? (await get(path));
      showTeam(team, { mayChange: page.mayChange(), changed: page.changed, closed });
    } catch (refused) {
      page.failed(refused);
      closed();
    }
  };
  return { load: list.load, isLong: list.isLong, open: openTeam };
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
