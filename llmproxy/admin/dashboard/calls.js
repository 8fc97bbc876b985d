// The latest calls, newest first. While somebody points at them or is among them by keyboard they
// stand still, and what has come meanwhile is only counted.

import { get } from "./api.js";
import { callRow, isNotable } from "./call_row.js";
import { byId, h, setText } from "./dom.js";
import { plural } from "./format.js";

const KEPT = 50;
const COLUMNS = [
  ["Time", ""],
  ["Call", ""],
  ["Endpoint", ""],
  ["Outcome", ""],
  ["First byte", "number wide"],
  ["Total", "number"],
  ["Tokens", "number wide"],
  ["Cost", "number wide"],
];

/** The list. `open()` loads it, `add(traces)` puts new ones on top. `firstGroup()` names one. */
export function callsList(firstGroup) {
  const body = h("tbody", { role: "rowgroup" });
  const table = tableOf(body);
  const empty = h("div", { class: "card nothing", hidden: true });
  byId("calls").replaceChildren(table, empty);
  let calls = [];
  let waiting = [];
  let held = false;
  let asked = 0;
  let loaded = false;

  const wanted = (call) => {
    const group = byId("group").value;
    return (!group || `g:${call.group}` === group) && (!byId("notable").checked || isNotable(call));
  };
  const draw = () => {
    // A row that stays is the same element: the focus may have to come back to it.
    const before = new Map([...body.children].map((line) => [line.dataset.id, line]));
    body.replaceChildren(...calls.map((call) => before.get(call.id) ?? callRow(call)));
    table.hidden = !calls.length;
    empty.hidden = calls.length > 0;
    if (!calls.length && loaded) drawEmpty(empty, firstGroup());
  };
  const note = () =>
    setText(
      byId("calls-note"),
      held && waiting.length ? `held while you look · ${plural(waiting.length, "new call")}` : "",
    );
  const take = () => {
    const fresh = waiting.filter((call) => !calls.some((known) => known.id === call.id));
    waiting = [];
    if (!fresh.length) return;
    calls = [...fresh, ...calls].slice(0, KEPT);
    draw();
  };
  const hold = (now) => {
    held = now;
    if (!held) take();
    note();
  };
  holdWhileLooking(table, hold);

  const load = async () => {
    const mine = (asked += 1);
    const { calls: found } = await get(`admin/calls?${queryOf()}`);
    if (mine !== asked) return;
    // What came while this was on its way may be missing in it.
    const [ids, newest] = [new Set(found.map((call) => call.id)), found[0]?.at ?? 0];
    const since = [...waiting, ...calls].filter((call) => call.at > newest && !ids.has(call.id));
    calls = [...since.filter(wanted), ...found].slice(0, KEPT);
    [waiting, loaded] = [[], true];
    draw();
    note();
  };
  const reload = () => load().catch(() => {}); // what is wrong is told where the connection is
  byId("group").addEventListener("change", reload);
  byId("notable").addEventListener("change", reload);
  return {
    open: reload,
    add(traces) {
      waiting = [...traces.filter(wanted), ...waiting].slice(0, KEPT);
      if (!held) take();
      note();
    },
  };
}

function queryOf() {
  const group = byId("group").value;
  const query = new URLSearchParams({ limit: KEPT });
  if (byId("notable").checked) query.set("notable", "true");
  if (group) query.set("group", group.slice(2));
  return query;
}

function tableOf(body) {
  // The roles are said, for on a narrow screen the rows are laid out as cards.
  const heads = COLUMNS.map(([name, kind]) =>
    h("th", { scope: "col", role: "columnheader", class: kind }, name),
  );
  const caption = "The latest calls, newest first. The time of a call opens its trace.";
  return h(
    "table",
    { class: "calls", role: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads)),
    body,
  );
}

function holdWhileLooking(table, hold) {
  let [pointed, focused] = [false, false];
  const look = () => hold(pointed || focused);
  table.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") pointed = true; // a finger does not hover
    look();
  });
  table.addEventListener("pointerleave", () => {
    pointed = false;
    look();
  });
  table.addEventListener("focusin", () => {
    focused = true;
    look();
  });
  table.addEventListener("focusout", (event) => {
    focused = table.contains(event.relatedTarget);
    look();
  });
}

function drawEmpty(place, group) {
  if (byId("notable").checked || byId("group").value) {
    place.replaceChildren(h("p", {}, "No such calls among those that are remembered."));
    return;
  }
  const example = `curl ${new URL("v1/chat/completions", location.href)} -H 'content-type: application/json' \\\n  -d '{"model": "${group ?? "gpt-4.1"}", "messages": [{"role": "user", "content": "Hello!"}]}'`;
  place.replaceChildren(
    h("p", {}, "No calls yet. The first one could be:"),
    h("pre", { tabindex: "0", "aria-label": "An example call" }, example),
  );
}
