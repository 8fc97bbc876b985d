// The page Calls: searches all finished calls. What it looks for stands in the address.

import { addressOf, get } from "./api.js";
import { callTable } from "./call_table.js";
import { callFilters, queryOf } from "./calls_filters.js";
import { emptyState } from "./data_table.js";
import { h, setText } from "./dom.js";
import { focusRow, redraw } from "./focus.js";
import { refresh } from "./refreshing.js";

const PAGE = 50;
const AGAIN_MS = 5_000;

/** Fills an element with the page.
 * @param {HTMLElement} place
 * @param {Address} address
 * @param {() => void} followTrace opens the trace that the address names */
export function callsPage(place, address, followTrace) {
  const filters = callFilters(address);
  const list = h("div");
  const note = h("p", { class: "soft", role: "status" });
  const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
  const more = h("button", { type: "button", hidden: true }, "Show more");
  place.replaceChildren(filters.element, note, list, h("div", { class: "foot" }, pause, more));
  let shown = null; // the query of the list
  let calls = [];
  let next = null;
  let paused = false;
  let asked = 0;

  const draw = (missing) => {
    more.hidden = next === null;
    redraw(list, calls.length ? callTable(calls) : nothing(address));
    setText(note, [missing, paused ? "Paused." : ""].filter(Boolean).join(" "));
  };
  const load = async (cursor = null) => {
    const mine = (asked += 1);
    const query = queryOf(address);
    const wanted = new URLSearchParams([...query, ["limit", String(PAGE)]]);
    if (cursor) wanted.set("cursor", cursor);
    try {
      const page = await get(`admin/calls?${wanted}`);
      if (mine !== asked) return;
      calls = cursor ? [...calls, ...page.calls] : page.calls;
      [next, shown] = [page.next, String(query)];
      draw(page.missing);
    } catch (refused) {
      if (mine === asked) redraw(list, emptyState("The calls cannot be read.", refused.message));
    }
  };
  more.addEventListener("click", async () => {
    const before = calls.length;
    await load(next);
    focusRow(list, before);
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    setText(pause, paused ? "Resume" : "Pause");
    if (paused) setText(note, "Paused.");
    else load();
  });
  // Whoever reads further or looks at a call must not lose the place.
  const inUse = () => paused || calls.length > PAGE || list.matches(":hover, :focus-within");
  refresh(place, AGAIN_MS, load, inUse);

  const follow = () => {
    filters.follow();
    if (shown !== String(queryOf(address))) load();
  };
  follow();
  followTrace();
  return { follow };
}

/** @param {Address} address */
function nothing(address) {
  if (String(queryOf(address)))
    return emptyState(
      "No call matches these filters",
      "Remove a filter, or look further back. Without a store, only the latest calls are kept.",
    );
  return emptyState(
    "No calls yet",
    "The overview shows how to make the first one.",
    h("a", { href: addressOf("dashboard") }, "Overview"),
  );
}
