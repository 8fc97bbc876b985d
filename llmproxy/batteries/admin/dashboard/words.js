// The words for states, and the sentence on top of the page. Pure functions; they draw nothing.

import { countdown, millis, plural } from "./format.js";

export const STATE_WORDS = {
  ok: "ok",
  full: "full",
  slow: "slow",
  cooling: "cooling down",
  open: "breaker open",
  "half-open": "half-open",
  misconfigured: "misconfigured",
  drained: "drained",
};

// Severity; below 1, an endpoint takes calls.
const RANK = {
  ok: 0,
  full: 0,
  slow: 0.5,
  drained: 1,
  "half-open": 2,
  cooling: 3,
  open: 4,
  misconfigured: 5,
};

/** Returns the state to show: one that takes calls may be slow, measured against its own normal.
 * @param {EndpointView} endpoint
 * @returns {EndpointStatus | "slow"} */
export const stateOf = (endpoint) =>
  endpoint.state === "ok" && endpoint.slow ? "slow" : endpoint.state;

/** Returns how severe a state is: 0 is healthy.
 * @param {EndpointView} endpoint
 * @returns {number} */
export const rankOf = (endpoint) => RANK[stateOf(endpoint)] ?? 3;

/** @param {EndpointView} endpoint */
export const isUnavailable = (endpoint) => rankOf(endpoint) >= 1;

/** Returns since when (Unix seconds) an endpoint is in the state that is shown.
 * @param {EndpointView} endpoint
 * @returns {number} */
export const sinceOf = (endpoint) =>
  stateOf(endpoint) === "slow" && endpoint.slow ? endpoint.slow.since : endpoint.since;

/** Returns ok, warn, bad or off: the colour of a state.
 * @param {EndpointStatus | "slow"} state */
export function toneOf(state) {
  if (state === "ok") return "ok";
  if (state === "drained") return "off";
  return state === "open" || state === "misconfigured" ? "bad" : "warn";
}

/** Returns the reason of a state, or "" if the state's name says it all.
 * @param {EndpointView} endpoint */
export function reasonOf(endpoint) {
  if (stateOf(endpoint) === "slow" && endpoint.slow)
    return `first byte after ${millis(endpoint.slow.first_byte_ms)}, usually ${millis(endpoint.slow.usual_ms)}`;
  if (endpoint.state !== "half-open") return (endpoint.reason ?? "").replaceAll("_", " ");
  return endpoint.probing ? "a probe is under way" : "waiting for a call to probe it";
}

/** Returns the unavailable and the slow endpoints, most severe first: [{group, endpoint}].
 * @param {ProxyView} state */
export function troublesOf(state) {
  return state.groups
    .flatMap((group) => group.endpoints.map((endpoint) => ({ group: group.group, endpoint })))
    .filter(({ endpoint }) => rankOf(endpoint) > 0)
    .sort((a, b) => rankOf(b.endpoint) - rankOf(a.endpoint));
}

/** Returns one sentence about the whole proxy, and its tone.
 * @param {ProxyView} state */
export function headlineOf(state) {
  const endpoints = state.groups.flatMap((group) => group.endpoints);
  const out = endpoints.filter(isUnavailable).length;
  const countOf = (state) => endpoints.filter((endpoint) => stateOf(endpoint) === state).length;
  const [full, slow] = [countOf("full"), countOf("slow")];
  const down = state.groups.filter((group) => group.status === "down").map((group) => group.group);
  const also = (number, word) => (number ? `; ${number} ${number === 1 ? "is" : "are"} ${word}` : "");
  const alsoFull = also(full, "full");
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
      text: `${out} of ${plural(endpoints.length, "endpoint")} ${is} unavailable${also(slow, "slow")}${alsoFull}`,
    };
  }
  if (slow) {
    const is = slow === 1 ? "is" : "are";
    return { tone: "warn", text: `${slow} of ${plural(endpoints.length, "endpoint")} ${is} slow${alsoFull}` };
  }
  if (!endpoints.length) return { tone: "warn", text: "No endpoints are configured" };
  if (state.totals?.calls === 0) {
    const are = endpoints.length === 1 ? "is" : "are";
    return { tone: "ok", text: `No calls yet: ${plural(endpoints.length, "endpoint")} ${are} ready` };
  }
  const subject = endpoints.length === 1 ? "The endpoint is" : `All ${endpoints.length} endpoints are`;
  return { tone: "ok", text: `${subject} healthy${alsoFull}` };
}

/** Returns a line for an unavailable endpoint, such as: cooling down, throttled, 12 s left.
 * @param {EndpointView} endpoint
 * @param {number} readyInS */
export function stateLine(endpoint, readyInS) {
  const left = readyInS > 0 ? `${countdown(readyInS)}\u00a0left` : "";
  const state = stateOf(endpoint);
  return [STATE_WORDS[state] ?? state, reasonOf(endpoint), left]
    .filter(Boolean)
    .join(", ");
}

const listed = (names) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
