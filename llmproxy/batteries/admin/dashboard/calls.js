// The latest calls, newest first. While the pointer or the keyboard focus is on the list it is paused,
// and new calls are only counted.

import { get } from "./api.js";
import { callRow, isNotable } from "./call_row.js";
import { byId, h, inputById, setText } from "./dom.js";
import { redraw } from "./focus.js";
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

/** Makes the list. `open()` loads it, `add(traces)` puts new calls on top. */
export function callsList() {
  const body = h("tbody", { role: "rowgroup" });
  const table = tableOf(body);
  const empty = h("div", { class: "card nothing", hidden: true });
  byId("latest-calls").replaceChildren(table, empty);
  let calls = [];
  let waiting = [];
  let paused = false;
  let asked = 0;
  let loaded = false;

  const wanted = (call) => {
    const group = inputById("group").value;
    return (!group || `g:${call.group}` === group) && (!inputById("notable").checked || isNotable(call));
  };
  const draw = () => {
    // Rows are reused, so that the focus stays on the row that has it.
    const before = new Map([...body.children].map((line) => [line.dataset.id, line]));
    redraw(body, ...calls.map((call) => before.get(call.id) ?? callRow(call)));
    table.hidden = !calls.length;
    empty.hidden = calls.length > 0;
    if (!calls.length && loaded) drawEmpty(empty);
  };
  const note = () =>
    setText(
      byId("calls-note"),
      paused && waiting.length ? `paused while you look · ${plural(waiting.length, "new call")}` : "",
    );
  const take = () => {
    const fresh = waiting.filter((call) => !calls.some((known) => known.id === call.id));
    waiting = [];
    if (!fresh.length) return;
    calls = [...fresh, ...calls].slice(0, KEPT);
    draw();
  };
  const pause = (now) => {
    paused = now;
    if (!paused) take();
    note();
  };
  pauseWhileLooking(table, pause);

  const load = async () => {
    const mine = (asked += 1);
    const { calls: found } = await get(`admin/calls?${queryOf()}`);
    if (mine !== asked) return;
    // Calls that finished during the request may be missing in its answer.
    const [ids, newest] = [new Set(found.map((call) => call.id)), found[0]?.at ?? 0];
    const since = [...waiting, ...calls].filter((call) => call.at > newest && !ids.has(call.id));
    calls = [...since.filter(wanted), ...found].slice(0, KEPT);
    [waiting, loaded] = [[], true];
    draw();
    note();
  };
  const reload = () => load().catch(() => {}); // the connection's status shows what is wrong
  byId("group").addEventListener("change", reload);
  byId("notable").addEventListener("change", reload);
  return {
    open: reload,
    add(traces) {
      waiting = [...traces.filter(wanted), ...waiting].slice(0, KEPT);
      if (!paused) take();
      note();
    },
  };
}

function queryOf() {
  const group = inputById("group").value;
  const query = new URLSearchParams({ limit: String(KEPT) });
  if (inputById("notable").checked) query.set("notable", "true");
  if (group) query.set("group", group.slice(2));
  return query;
}

function tableOf(body) {
  // Explicit roles, because narrow screens lay the rows out as cards.
  const heads = COLUMNS.map(([name, kind]) =>
    h("th", { scope: "col", role: "columnheader", class: kind }, name),
  );
  const caption = "Latest calls, newest first. The time of a call opens its trace.";
  return h(
    "table",
    { class: "calls", role: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads)),
    body,
  );
}

function pauseWhileLooking(table, pause) {
  let [pointed, focused] = [false, false];
  const look = () => pause(pointed || focused);
  table.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") pointed = true; // touch does not hover
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

function drawEmpty(place) {
  const filtered = inputById("notable").checked || inputById("group").value;
  place.replaceChildren(
    h("p", {}, filtered ? "No matching calls among the latest ones." : "No calls yet."),
  );
}
