// The latest calls, newest first. While the pointer or the keyboard focus is on the list it is paused,
// and new calls are only counted.

import { get } from "./api.js";
import { callTable, isNotable } from "./call_table.js";
import { byId, h, inputById, setText } from "./dom.js";
import { redraw } from "./focus.js";
import { plural } from "./format.js";

const KEPT = 50;

/** Makes the list. `open()` loads it, `add(traces)` puts new calls on top. */
export function callsList() {
  const place = byId("latest-calls");
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
    if (calls.length || loaded) redraw(place, calls.length ? callTable(calls) : nothing());
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
  pauseWhileLooking(place, pause);

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

function pauseWhileLooking(place, pause) {
  let [pointed, focused] = [false, false];
  const look = () => pause(pointed || focused);
  place.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") pointed = true; // touch does not hover
    look();
  });
  place.addEventListener("pointerleave", () => {
    pointed = false;
    look();
  });
  place.addEventListener("focusin", () => {
    focused = true;
    look();
  });
  place.addEventListener("focusout", (event) => {
    focused = place.contains(event.relatedTarget);
    look();
  });
}

function nothing() {
  const filtered = inputById("notable").checked || inputById("group").value;
  return h(
    "div",
    { class: "card nothing" },
    h("p", {}, filtered ? "No matching calls among the latest ones." : "No calls yet."),
  );
}
