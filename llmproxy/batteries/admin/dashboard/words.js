// The words for states, and the sentence on top of the page. Pure functions; they draw nothing.

import { countdown, plural } from "./format.js";

export const STATE_WORDS = {
  ok: "ok",
  full: "full",
  cooling: "cooling down",
  open: "breaker open",
  "half-open": "half-open",
  misconfigured: "misconfigured",
  drained: "drained",
};

// Severity; an endpoint with 0 takes calls.
const RANK = { ok: 0, full: 0, drained: 1, "half-open": 2, cooling: 3, open: 4, misconfigured: 5 };

/** @param {EndpointView} endpoint */
export const isUnavailable = (endpoint) => (RANK[endpoint.state] ?? 3) > 0;

/** Returns ok, warn, bad or off: the colour of a state.
 * @param {EndpointStatus} state */
export function toneOf(state) {
  if (state === "ok") return "ok";
  if (state === "drained") return "off";
  return state === "open" || state === "misconfigured" ? "bad" : "warn";
}

/** Returns the reason of a state, or "" if the state's name says it all.
 * @param {EndpointView} endpoint */
export function reasonOf(endpoint) {
  if (endpoint.state !== "half-open") return (endpoint.reason ?? "").replaceAll("_", " ");
  return endpoint.probing ? "a probe is under way" : "waiting for a call to probe it";
}

/** Returns the unavailable endpoints, most severe first: [{group, endpoint}].
 * @param {ProxyView} state */
export function troublesOf(state) {
  return state.groups
    .flatMap((group) => group.endpoints.map((endpoint) => ({ group: group.group, endpoint })))
    .filter(({ endpoint }) => isUnavailable(endpoint))
    .sort((a, b) => (RANK[b.endpoint.state] ?? 3) - (RANK[a.endpoint.state] ?? 3));
}

/** Returns one sentence about the whole proxy, and its tone.
 * @param {ProxyView} state */
export function headlineOf(state) {
  const endpoints = state.groups.flatMap((group) => group.endpoints);
  const out = endpoints.filter(isUnavailable).length;
  const full = endpoints.filter((endpoint) => endpoint.state === "full").length;
  const down = state.groups.filter((group) => group.status === "down").map((group) => group.group);
  const alsoFull = full ? `; ${full} ${full === 1 ? "is" : "are"} full` : "";
  if (state.status === "draining") {
    return { tone: "warn", text: "Draining: finishing calls in flight, then shutting down" };
  }
  if (down.length) {
    const subject =
      down.length > 3
        ? `${down.length} groups are`
        : `${listed(down)} ${down.length === 1 ? "is" : "are"}`;
    return {
      tone: "bad",
      text: `${subject} down: ${out} of ${plural(endpoints.length, "endpoint")} unavailable`,
    };
  }
  if (out) {
    const is = out === 1 ? "is" : "are";
    return {
      tone: "warn",
      text: `${out} of ${plural(endpoints.length, "endpoint")} ${is} unavailable${alsoFull}`,
    };
  }
  if (!endpoints.length) return { tone: "warn", text: "No endpoints are configured" };
  const subject = endpoints.length === 1 ? "The endpoint is" : `All ${endpoints.length} endpoints are`;
  return { tone: "ok", text: `${subject} healthy${alsoFull}` };
}

/** Returns a line for an unavailable endpoint, such as: cooling down, throttled, 12 s left.
 * @param {EndpointView} endpoint
 * @param {number} readyInS */
export function stateLine(endpoint, readyInS) {
  const left = readyInS > 0 ? `${countdown(readyInS)}\u00a0left` : "";
  return [STATE_WORDS[endpoint.state] ?? endpoint.state, reasonOf(endpoint), left]
    .filter(Boolean)
    .join(", ");
}

const listed = (names) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
