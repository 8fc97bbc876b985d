// The latest calls, newest first. While somebody points at them or is among them by keyboard they
// stand still, and what has come meanwhile is only counted.

import { get } from "./api.js";
import { byId, h, setText } from "./dom.js";
import { clock, count, millis, plural, usd } from "./format.js";
import { icon } from "./icons.js";

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
  // The roles are said, for on a narrow screen the rows are laid out as cards.
  const body = h("tbody", { role: "rowgroup" });
  const table = h(
    "table",
    { class: "calls", role: "table" },
    h(
      "caption",
      { class: "hidden" },
      "The latest calls, newest first. The time of a call opens its trace.",
    ),
    h(
      "thead",
      { role: "rowgroup" },
      h(
        "tr",
        { role: "row" },
        ...COLUMNS.map(([name, kind]) =>
          h("th", { scope: "col", role: "columnheader", class: kind }, name),
        ),
      ),
    ),
    body,
  );
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
    body.replaceChildren(...calls.map((call) => before.get(call.id) ?? row(call)));
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
    const group = byId("group").value;
    const query = [
      `limit=${KEPT}`,
      byId("notable").checked ? "notable=true" : "",
      group ? `group=${encodeURIComponent(group.slice(2))}` : "",
    ];
    const answer = await get(`admin/calls?${query.filter(Boolean).join("&")}`);
    if (mine !== asked) return;
    calls = answer.calls.slice(0, KEPT);
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

/** Errors, calls that were moved or retried, and fallbacks. */
export function isNotable(call) {
  const attempts = call.steps.filter((step) => step.what === "attempt").length;
  return call.error !== null || call.status >= 400 || attempts > 1 || call.fallback !== null;
}

/** How it ended, in a sign, a tone and words. */
export function outcomeOf(call) {
  const attempts = call.steps.filter((step) => step.what === "attempt").length;
  if (call.error !== null || call.status >= 400) {
    return {
      sign: "open",
      tone: "bad",
      words: `${call.status || ""} ${call.error ?? "refused"}`.trim(),
    };
  }
  const more = [
    attempts > 1 ? `${attempts} attempts` : null,
    call.fallback ? `fallback ${call.fallback}` : null,
    call.cache && !["miss", "bypass"].includes(call.cache) ? `cache ${call.cache}` : null,
  ].filter(Boolean);
  return {
    sign: "ok",
    tone: attempts > 1 || call.fallback ? "warn" : "ok",
    words: [call.status, ...more].join(" · "),
  };
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

function row(call) {
  const { sign, tone, words } = outcomeOf(call);
  const link = h("a", { href: `#call=${encodeURIComponent(call.id)}` }, clock(call.at));
  const line = h(
    "tr",
    { role: "row", "data-tone": tone, "data-id": call.id },
    cell("time", link),
    cell("what", h("span", {}, call.group ?? call.request.split(" ").at(-1)), ...below(call)),
    cell("where", call.endpoint ?? (call.cache === "hit" ? "cache" : "–")),
    cell("outcome", h("span", {}, icon(sign), words)),
    cell("number wide", millis(call.first_byte_ms)),
    cell("number total", millis(call.total_ms)),
    cell("number wide", tokensOf(call)),
    cell("number wide", usd(call.cost_usd)),
  );
  line.addEventListener("click", (event) => {
    if (event.target !== link && getSelection().isCollapsed) link.click();
  });
  return line;
}

const cell = (kind, ...children) => h("td", { role: "cell", class: kind }, ...children);

function below(call) {
  const words = [call.stream ? "stream" : null, call.caller].filter(Boolean).join(" · ");
  return words ? [h("span", { class: "soft" }, words)] : [];
}

export function tokensOf(call) {
  if (call.input_tokens === null && call.output_tokens === null) return "–";
  return `${count(call.input_tokens)} → ${count(call.output_tokens)}`;
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
