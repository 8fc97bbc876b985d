// What the states are called, and what is wrong now, in sentences. Decides; draws nothing.

import { countdown, plural } from "./format.js";

export const STATE_WORDS = {
  ok: "ok",
  full: "full",
  cooling: "cooling",
  open: "breaker open",
  "half-open": "half-open",
  misconfigured: "misconfigured",
  drained: "drained",
};

// How bad each is; 0 is not out.
const RANK = { ok: 0, full: 0, drained: 1, "half-open": 2, cooling: 3, open: 4, misconfigured: 5 };

export const isOut = (endpoint) => (RANK[endpoint.state] ?? 3) > 0;

/** ok, warn or bad: the colour of a state. */
export function toneOf(state) {
  if (state === "ok") return "ok";
  if (state === "drained") return "off";
  return state === "open" || state === "misconfigured" ? "bad" : "warn";
}

/** What is behind the state, if more is known than the state's name. */
export function reasonOf(endpoint) {
  if (endpoint.state !== "half-open") return (endpoint.reason ?? "").replaceAll("_", " ");
  return endpoint.probing ? "a probe is under way" : "waiting for a call to probe it";
}

/** The endpoints that are out, the worst first: [{group, endpoint}]. */
export function troublesOf(state) {
  return state.groups
    .flatMap((group) => group.endpoints.map((endpoint) => ({ group: group.group, endpoint })))
    .filter(({ endpoint }) => isOut(endpoint))
    .sort((a, b) => (RANK[b.endpoint.state] ?? 3) - (RANK[a.endpoint.state] ?? 3));
}

/** One sentence on how things are, and its tone. */
export function headlineOf(state) {
  const endpoints = state.groups.flatMap((group) => group.endpoints);
  const out = endpoints.filter(isOut).length;
  const full = endpoints.filter((endpoint) => endpoint.state === "full").length;
  const down = state.groups.filter((group) => group.status === "down").map((group) => group.group);
  const alsoFull = full ? `; ${full} ${full === 1 ? "is" : "are"} full` : "";
  if (state.status === "draining") {
    return { tone: "warn", text: "The proxy is draining: it ends its calls and goes." };
  }
  if (down.length) {
    const who =
      down.length > 3
        ? `${down.length} groups are`
        : `${listed(down)} ${down.length === 1 ? "is" : "are"}`;
    return {
      tone: "bad",
      text: `${who} down: ${out} of ${plural(endpoints.length, "endpoint")} out`,
    };
  }
  if (out) {
    const is = out === 1 ? "is" : "are";
    return {
      tone: "warn",
      text: `${out} of ${plural(endpoints.length, "endpoint")} ${is} out${alsoFull}`,
    };
  }
  if (!endpoints.length) return { tone: "warn", text: "There are no endpoints" };
  const well = endpoints.length === 1 ? "The endpoint is" : `All ${endpoints.length} endpoints are`;
  return { tone: "ok", text: `${well} well${alsoFull}` };
}

/** One line on an endpoint that is out: cooling, throttled, 12 s left. */
export function stateLine(endpoint, readyInS) {
  const left = readyInS > 0 ? `${countdown(readyInS)}\u00a0left` : "";
  return [STATE_WORDS[endpoint.state] ?? endpoint.state, reasonOf(endpoint), left]
    .filter(Boolean)
    .join(", ");
}

const listed = (names) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
