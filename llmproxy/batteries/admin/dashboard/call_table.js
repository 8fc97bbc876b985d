// A table of calls, and the words for how one ended.

import { dataTable } from "./data_table.js";
import { h } from "./dom.js";
import { clock, count, day, millis, plural, usd } from "./format.js";
import { icon } from "./icons.js";

/** Returns whether a call failed, was retried or fell back.
 * @param {CallTrace} call */
export function isNotable(call) {
  const attempts = call.steps.filter((step) => step.what === "attempt").length;
  return call.error !== null || call.status >= 400 || attempts > 1 || call.fallback !== null;
}

/** Returns how a call ended: an icon, a tone and words.
 * @param {CallTrace} call */
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

/** Makes a table of calls; a click anywhere on a row follows the link that opens the trace.
 * @param {CallTrace[]} calls newest first */
export function callTable(calls) {
  const newest = calls[0]?.at ?? 0;
  const table = dataTable({
    kind: "calls",
    caption: `${plural(calls.length, "call")}, newest first. The time of a call opens its trace.`,
    rows: calls,
    id: (call) => call.id,
    tone: (call) => outcomeOf(call).tone,
    columns: [
      {
        name: "Time",
        kind: "time",
        cell: (call) => h("a", { href: `#call=${encodeURIComponent(call.id)}` }, timeOf(call, newest)),
      },
      { name: "Asked for", kind: "what", cell: whatCell },
      {
        name: "Endpoint",
        kind: "where",
        cell: (call) => call.endpoint ?? (call.cache === "hit" ? "cache" : "–"),
      },
      { name: "Outcome", kind: "outcome", cell: outcomeCell },
      { name: "First byte", kind: "number wide", cell: (call) => millis(call.first_byte_ms) },
      { name: "Total", kind: "number total", cell: (call) => millis(call.total_ms) },
      { name: "Tokens", kind: "number wide", cell: tokensOf },
      { name: "Cost", kind: "number cost", cell: costCell },
    ],
  });
  table.addEventListener("click", ({ target }) => {
    const link = target.closest("tbody tr")?.querySelector("a");
    if (link && target !== link && getSelection()?.isCollapsed) link.click();
  });
  return table;
}

/** Returns the time of day, with the date unless it is that of the newest call.
 * @param {CallTrace} call
 * @param {number} newest */
function timeOf(call, newest) {
  const date = day(call.at, newest);
  return clock(call.at).startsWith(date) ? clock(call.at) : `${date} ${clock(call.at)}`;
}

/** The model that was asked for, also where there is none; in smaller words, by whom.
 * @param {CallTrace} call */
function whatCell(call) {
  const asked = call.model ?? call.group ?? call.request.split(" ").at(-1) ?? "";
  const words = [call.stream ? "stream" : null, call.caller].filter(Boolean).join(" · ");
  return [h("bdi", {}, asked), words && h("span", { class: "soft" }, words)];
}

/** @param {CallTrace} call */
function outcomeCell(call) {
  const { sign, words } = outcomeOf(call);
  return [icon(sign), words];
}

/** @param {CallTrace} call */
const costCell = (call) => (call.cost_basis === "unknown" ? "unknown" : usd(call.cost_usd));

/** @param {CallTrace} call */
export function tokensOf(call) {
  if (call.input_tokens === null && call.output_tokens === null) return "–";
  return `${count(call.input_tokens)} → ${count(call.output_tokens)}`;
}
