// The page Calls: searches all finished calls. What it looks for stands in the address.

import { addressOf, get } from "./api.js";
import { below, outcomeOf, tokensOf } from "./call_row.js";
import { callFilters, queryOf } from "./calls_filters.js";
import { dataTable, emptyState } from "./data_table.js";
import { h, setText } from "./dom.js";
import { focusRow, redraw } from "./focus.js";
import { clock, day, millis, plural, usd } from "./format.js";
import { icon } from "./icons.js";

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
    redraw(list, calls.length ? tableOf(calls) : nothing(address));
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
  // Whoever reads further, types or looks at a call must not lose the place.
  const inUse = () =>
    paused ||
    calls.length > PAGE ||
    document.hidden ||
    document.querySelector("dialog[open]") !== null ||
    list.matches(":hover, :focus-within") ||
    filters.element.contains(document.activeElement);
  setInterval(() => inUse() || place.closest("[hidden]") || load(), AGAIN_MS);

  const follow = () => {
    filters.follow();
    if (shown !== String(queryOf(address))) load();
  };
  follow();
  followTrace();
  return { follow };
}

function tableOf(calls) {
  const last = calls[0].at;
  return dataTable({
    caption: `${plural(calls.length, "call")}, newest first. The time of a call opens its trace.`,
    rows: calls,
    id: (call) => call.id,
    tone: (call) => outcomeOf(call).tone,
    columns: [
      {
        name: "Time",
        kind: "time",
        cell: (call) => h("a", { href: `#call=${encodeURIComponent(call.id)}` }, timeOf(call, last)),
      },
      { name: "Asked for", kind: "lead", cell: (call) => [h("bdi", {}, askedFor(call)), ...below(call)] },
      { name: "Endpoint", cell: (call) => call.endpoint ?? (call.cache === "hit" ? "cache" : "–") },
      { name: "Outcome", cell: outcomeCell },
      { name: "First byte", kind: "number wide", cell: (call) => millis(call.first_byte_ms) },
      { name: "Total", kind: "number", cell: (call) => millis(call.total_ms) },
      { name: "Tokens", kind: "number wide", cell: tokensOf },
      { name: "Cost", kind: "number", cell: costCell },
    ],
  });
}

/** Returns the time of day, with the date unless it is that of the newest call.
 * @param {CallTrace} call
 * @param {number} newest */
function timeOf(call, newest) {
  const date = day(call.at, newest);
  return clock(call.at).startsWith(date) ? clock(call.at) : `${date} ${clock(call.at)}`;
}

/** @param {CallTrace} call */
const askedFor = (call) => call.model ?? call.group ?? call.request.split(" ").at(-1) ?? "";

/** @param {CallTrace} call */
function outcomeCell(call) {
  const { sign, words } = outcomeOf(call);
  return h("span", { class: "outcome" }, icon(sign), words);
}

/** @param {CallTrace} call */
const costCell = (call) => (call.cost_basis === "unknown" ? "unknown" : usd(call.cost_usd));

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
