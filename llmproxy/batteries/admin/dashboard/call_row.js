// One call as a row of the list.

import { h } from "./dom.js";
import { clock, count, millis, usd } from "./format.js";
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

/** Makes a row; a click anywhere on it follows the link that opens the trace.
 * @param {CallTrace} call */
export function callRow(call) {
  const { sign, tone, words } = outcomeOf(call);
  const link = h("a", { href: `#call=${encodeURIComponent(call.id)}` }, clock(call.at));
  const line = h(
    "tr",
    { role: "row", "data-tone": tone, "data-id": call.id },
    cell("time", link),
    cell("what", h("span", {}, call.group ?? call.model ?? call.request.split(" ").at(-1)), ...below(call)),
    cell("where", call.endpoint ?? (call.cache === "hit" ? "cache" : "–")),
    cell("outcome", h("span", {}, icon(sign), words)),
    cell("number wide", millis(call.first_byte_ms)),
    cell("number total", millis(call.total_ms)),
    cell("number wide", tokensOf(call)),
    cell("number wide", usd(call.cost_usd)),
  );
  line.addEventListener("click", (event) => {
    if (event.target !== link && getSelection()?.isCollapsed) link.click();
  });
  return line;
}

const cell = (kind, ...children) => h("td", { role: "cell", class: kind }, ...children);

/** Returns in smaller words whether a call was streamed, and whose it is.
 * @param {CallTrace} call */
export function below(call) {
  const words = [call.stream ? "stream" : null, call.caller].filter(Boolean).join(" · ");
  return words ? [h("span", { class: "soft" }, words)] : [];
}

/** @param {CallTrace} call */
export function tokensOf(call) {
  if (call.input_tokens === null && call.output_tokens === null) return "–";
  return `${count(call.input_tokens)} → ${count(call.output_tokens)}`;
}
