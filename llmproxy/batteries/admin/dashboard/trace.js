// The trace of one call: its steps on a time scale.

import { get } from "./api.js";
import { outcomeOf, tokensOf } from "./call_table.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { clock, count, day, millis, usd } from "./format.js";
import { icon } from "./icons.js";
import { toast } from "./toast.js";

/** Opens the trace that the address names (#call=ID), now and whenever the address changes. */
export function traces() {
  let shown = null;
  const follow = () => {
    const id = idInAddress();
    if (id === null || id === shown) return;
    shown = id;
    show(id, () => {
      shown = null;
      if (idInAddress() === id) history.replaceState(null, "", location.pathname + location.search);
    });
  };
  window.addEventListener("hashchange", follow);
  return follow;
}

function idInAddress() {
  const [name, id] = location.hash.slice(1).split("=");
  if (name !== "call" || !id) return null;
  try {
    return decodeURIComponent(id);
  } catch {
    return null;
  }
}

async function show(id, closed) {
  const close = h("button", { type: "button", class: "quiet" }, "Close");
  const body = h("div", { class: "trace-body" }, h("p", { class: "soft" }, "Loading …"));
  const title = h("h2", { id: "trace-title" }, "Call");
  const dialog = h(
    "dialog",
    { class: "trace", "aria-labelledby": "trace-title" },
    h("header", {}, title, close),
    body,
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", closed);
  open(dialog);
  try {
    body.replaceChildren(...traceOf(await get(`admin/calls/${encodeURIComponent(id)}`)));
  } catch (refused) {
    body.replaceChildren(h("p", { class: "error", role: "alert" }, refused.message));
  }
}

/** @param {CallTrace} call */
function traceOf(call) {
  const { sign, tone, words } = outcomeOf(call);
  const copy = h("button", { type: "button", class: "small" }, "Copy id");
  copy.addEventListener("click", () => copyText(call.id));
  return [
    h("p", { class: "outcome", "data-tone": tone }, h("span", {}, icon(sign), words)),
    h("p", { class: "id" }, h("code", {}, call.id), copy),
    h("h3", {}, "Steps"),
    call.steps.length
      ? h("ol", { class: "steps" }, ...withWaits(call.steps).map((step) => stepLine(step, call.total_ms)))
      : h("p", { class: "soft" }, noSteps(call)),
    h("h3", {}, "Details"),
    h(
      "dl",
      { class: "about" },
      ...about(call)
        .filter(([, value]) => value !== null)
        .flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
    ),
  ];
}

const WAIT_MS = 20; // shorter gaps are no steps

/** Returns the steps, and between them what the call has waited before an attempt.
 * @param {TraceStep[]} steps */
export function withWaits(steps) {
  let until = 0;
  return steps.flatMap((step) => {
    const gap = step.at_ms - until;
    const from = until;
    until = Math.max(until, step.at_ms + (step.ms ?? 0));
    if (step.what !== "attempt" || gap < WAIT_MS) return [step];
    const why = from ? "for capacity or before a retry" : "for its body, capacity or a permit";
    return [{ what: "waited", endpoint: null, at_ms: from, ms: gap, why }, step];
  });
}

const noSteps = (call) =>
  call.cache === "hit" ? "None: the answer came from the cache." : "None: no endpoint was called.";

/** @param {CallTrace} call */
function about(call) {
  return [
    ["Ended", `${day(call.at, 0)} ${clock(call.at)}`],
    ["Request", call.request + (call.stream ? ", stream" : "")],
    ["Model asked for", call.model],
    ["Group", call.group],
    ["Fallback", call.fallback],
    ["Endpoint", call.endpoint],
    ["Vendor's id", call.upstream_id],
    ["Caller", call.caller],
    ["Team", call.team],
    ["Key", call.key],
    ["End user", call.end_user],
    ["Tags", call.tags.join(", ") || null],
    ["Error of", call.error_source],
    ["Client", call.client],
    ["Cache", call.cache],
    ["First byte", call.first_byte_ms === null ? null : millis(call.first_byte_ms)],
    ["Total", millis(call.total_ms)],
    ["Proxy overhead", call.overhead_ms === null ? null : millis(call.overhead_ms)],
    ["Upstream and waiting", call.waited_ms ? millis(call.waited_ms) : null],
    [
      "Tokens",
      call.input_tokens === null
        ? null
        : `${tokensOf(call)}${call.cached_tokens ? `, ${count(call.cached_tokens)} cached by the vendor` : ""}`,
    ],
    ["Cost", call.cost_usd === null ? null : usd(call.cost_usd)],
  ];
}

function stepLine(step, totalMs) {
  const [sign, tone, words] = stepWords(step);
  const bar = h("span", { class: "span" });
  const total = Math.max(totalMs, 0.001);
  const from = Math.min(1, step.at_ms / total);
  bar.style.left = `${from * 100}%`;
  bar.style.width = `${Math.min(1 - from, (step.ms ?? 0) / total) * 100}%`;
  return h(
    "li",
    { "data-tone": tone },
    h("span", { class: "at" }, millis(step.at_ms)),
    h("span", { class: "said" }, icon(sign), h("span", {}, ...words, ...saidBy(step))),
    h("span", { class: "took" }, step.ms === undefined || step.ms === null ? "" : millis(step.ms)),
    h("span", { class: "track", "aria-hidden": "true" }, bar),
  );
}

/** What the endpoint said when it failed, and its id of the attempt.
 * @param {TraceStep} step */
const saidBy = (step) => [
  step.message && h("span", { class: "soft below", dir: "auto" }, step.message),
  step.upstream_id && h("span", { class: "soft below" }, "vendor's id ", h("code", {}, step.upstream_id)),
].filter(Boolean);

/** @param {TraceStep} step */
function stepWords(step) {
  const beside = step.hedge ? " (hedge) " : " ";
  const who = step.endpoint === null ? [] : [h("strong", {}, step.endpoint), beside];
  if (step.what === "skipped") return ["skipped", "off", [...who, `skipped: ${step.why}`]];
  if (step.what === "fallback") return ["moved", "warn", [`fallback ${step.why}`]];
  if (step.what === "changed") return ["moved", "off", [...who, `changed: ${step.why}`]];
  if (step.what !== "attempt")
    return ["cooling", "off", [...who, [step.what, step.why].filter(Boolean).join(": ")]];
  if (step.outcome === "answered") {
    const preferred = step.why ? ` (preferred: ${step.why})` : "";
    return ["ok", "ok", [...who, `answered${step.status ? `, ${step.status}` : ""}${preferred}`]];
  }
  const why = [step.reason, step.status].filter(Boolean).join(", ");
  const then = step.verdict ? `; then: ${step.verdict}` : "";
  return ["open", "bad", [...who, `${step.outcome}${why ? `: ${why}` : ""}${then}`]];
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text); // needs TLS or localhost
    toast("Copied the id.");
  } catch {
    toast(`This browser does not allow copying. The id is ${text}`, "bad");
  }
}
