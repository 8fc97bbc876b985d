// The endpoints by group. Rows are updated in place: while the numbers change, a button must not move
// away from the pointer, and the focus must not be lost.

import { clear, drain, enable } from "./actions.js";
import { byId, h, setText } from "./dom.js";
import { count, countdown, duration, millis, percent, rate } from "./format.js";
import { icon } from "./icons.js";
import { levelBar } from "./levels.js";
import { reasonOf, STATE_WORDS, toneOf } from "./words.js";

const COLUMNS = [
  ["Tier", "number"],
  ["Weight", "number"],
  ["Capacity left", ""],
  ["In flight", "number"],
  ["First byte", "number"],
  ["Errors", "number"],
];

/** Makes the groups. `update(state)` draws them, `tick(now)` counts down between events. */
export function endpointGroups() {
  const cards = new Map();
  return {
    update(state) {
      const serves = groupsOfEndpoints(state.groups);
      for (const group of state.groups) {
        if (!cards.has(group.group)) cards.set(group.group, groupCard(group.group));
        cards.get(group.group).update(group, state.now, serves);
      }
      arrange(
        byId("groups"),
        cards,
        state.groups.map((group) => group.group),
      );
    },
    tick(now) {
      for (const card of cards.values()) card.tick(now);
    },
  };
}

function groupsOfEndpoints(groups) {
  const serves = new Map();
  for (const { group, endpoints } of groups) {
    for (const { endpoint } of endpoints)
      serves.set(endpoint, [...(serves.get(endpoint) ?? []), group]);
  }
  return serves;
}

/** Orders the elements by `names` and removes the others; does not touch those in their place. */
function arrange(place, parts, names) {
  for (const [name, part] of parts) {
    if (names.includes(name)) continue;
    part.element.remove();
    parts.delete(name);
  }
  names.forEach((name, index) => {
    const { element } = parts.get(name);
    if (place.children[index] !== element)
      place.insertBefore(element, place.children[index] ?? null);
  });
}

function groupCard(name) {
  const status = h("span", { class: "chip" });
  const facts = h("p", { class: "soft" });
  const list = h("ul", { class: "endpoints" });
  const rows = new Map();
  const head = h(
    "div",
    { class: "columns", "aria-hidden": "true" },
    h("span", {}, "Endpoint"),
    h(
      "div",
      { class: "inner" },
      ...COLUMNS.map(([column, kind]) => h("span", { class: kind }, column)),
    ),
    h("span"),
  );
  return {
    element: h(
      "article",
      { class: "group" },
      h("header", {}, h("h3", {}, name), status, facts),
      head,
      list,
    ),
    /** @param {GroupView} group */
    update(group, now, serves) {
      status.dataset.tone = group.status === "ok" ? "ok" : group.status === "down" ? "bad" : "warn";
      setText(status, group.status);
      setText(facts, groupFacts(group));
      for (const endpoint of group.endpoints) {
        if (!rows.has(endpoint.endpoint))
          rows.set(endpoint.endpoint, endpointRow(name, endpoint.endpoint));
        rows.get(endpoint.endpoint).update(endpoint, now, serves.get(endpoint.endpoint));
      }
      arrange(
        list,
        rows,
        group.endpoints.map((endpoint) => endpoint.endpoint),
      );
    },
    tick(now) {
      for (const row of rows.values()) row.tick(now);
    },
  };
}

/** @param {GroupView} group */
function groupFacts(group) {
  const { recent } = group;
  const facts = [
    `${rate(recent.calls_per_s)} calls/s`,
    recent.calls ? `${percent(recent.error_rate)} errors` : null,
    `${count(group.in_flight)} in flight`,
    group.waiting ? `${count(group.waiting)} waiting for capacity` : null,
  ];
  return facts.filter(Boolean).join(" · ");
}

function endpointRow(group, name) {
  const parts = rowParts(group, name);
  let endpoint = null;
  let at = 0;
  let serverNow = 0;
  let serves = [group];
  parts.drain.addEventListener("click", () =>
    endpoint.drained ? enable(group, name) : drain(group, name, serves),
  );
  parts.clear.addEventListener("click", () => clear(group, name));

  const tick = (now) => {
    const left = (endpoint.ready_in_s ?? 0) - (now - at);
    setText(parts.left, left > 0 ? `${countdown(left)} left` : "");
    setText(
      parts.since,
      endpoint.state === "ok" ? "" : `for ${duration(serverNow - endpoint.since + now - at)}`,
    );
  };
  return {
    element: parts.element,
    tick,
    update(now_, now, groups) {
      [endpoint, serverNow, serves, at] = [now_, now, groups, performance.now() / 1000];
      drawRow(parts, endpoint);
      tick(at);
    },
  };
}

function rowParts(group, name) {
  const cell = (label, kind, ...children) =>
    h("div", { class: `cell ${kind}` }, h("dt", {}, label), h("dd", {}, ...children));
  const fact = () => h("span");
  const parts = {
    sign: h("span", { class: "sign" }),
    word: h("span", { class: "word" }),
    why: h("span", { class: "why" }),
    left: h("span", { class: "left" }),
    since: h("span", { class: "soft since" }),
    tier: fact(),
    weight: fact(),
    last: h("span", { class: "soft" }),
    inFlight: fact(),
    p50: fact(),
    p99: h("span", { class: "soft" }),
    errors: fact(),
    attempts: h("span", { class: "soft" }),
    levels: {
      requests: levelBar("requests", "/min"),
      tokens: levelBar("tokens", "/min"),
      concurrent: levelBar("concurrent", ""),
    },
    none: h("span", { class: "soft" }, "no known limit"),
    drain: h("button", { type: "button", class: "small" }),
    clear: h(
      "button",
      { type: "button", class: "small" },
      "Clear",
      h("span", { class: "hidden" }, ` the cooldown of ${name} in ${group}`),
    ),
  };
  parts.drainWord = h("span");
  parts.drain.append(parts.drainWord, h("span", { class: "hidden" }, ` ${name} in ${group}`));
  const { requests, tokens, concurrent } = parts.levels;
  parts.element = h(
    "li",
    {
      id: `e-${encodeURIComponent(group)}-${encodeURIComponent(name)}`,
      class: "endpoint",
      tabindex: "-1",
    },
    h(
      "div",
      { class: "name" },
      h("h4", {}, name),
      h("p", { class: "state" }, parts.sign, parts.word, parts.left, parts.since),
      h("p", {}, parts.why),
    ),
    h(
      "dl",
      { class: "inner" },
      cell("Tier", "number", parts.tier),
      cell("Weight", "pair", parts.weight, parts.last),
      cell(
        "Capacity left",
        "capacity",
        requests.element,
        tokens.element,
        concurrent.element,
        parts.none,
      ),
      cell("In flight", "number", parts.inFlight),
      cell("First byte", "pair", parts.p50, parts.p99),
      cell("Errors", "pair", parts.errors, parts.attempts),
    ),
    h("div", { class: "acts" }, parts.clear, parts.drain),
  );
  return parts;
}

/** @param {EndpointView} endpoint */
function drawRow(parts, endpoint) {
  const { recent, capacity } = endpoint;
  parts.element.dataset.tone = toneOf(endpoint.state);
  if (parts.sign.dataset.state !== endpoint.state) {
    parts.sign.dataset.state = endpoint.state;
    parts.sign.replaceChildren(icon(endpoint.state));
  }
  setText(parts.word, STATE_WORDS[endpoint.state] ?? endpoint.state);
  setText(parts.why, reasonOf(endpoint));
  setText(parts.tier, String(endpoint.tier));
  setText(parts.weight, String(endpoint.weight));
  setText(parts.last, endpoint.weight ? "" : "last resort");
  setText(parts.inFlight, count(endpoint.in_flight));
  setText(parts.p50, millis(recent.first_byte_p50_ms));
  setText(
    parts.p99,
    recent.first_byte_p99_ms === null ? "" : `p99 ${millis(recent.first_byte_p99_ms)}`,
  );
  setText(parts.errors, recent.calls ? percent(recent.error_rate) : "–");
  parts.errors.dataset.tone = recent.error_rate >= 0.05 ? "bad" : "";
  setText(parts.attempts, recent.calls ? `of ${count(recent.calls)}` : "");
  for (const [name, bar] of Object.entries(parts.levels)) bar.update(capacity[name]);
  parts.none.hidden = Object.values(capacity).some((level) => level !== null);
  setText(parts.drainWord, endpoint.drained ? "Enable" : "Drain");
  parts.clear.hidden = !(
    endpoint.breaker !== "closed" ||
    endpoint.state === "cooling" ||
    endpoint.state === "misconfigured"
  );
}
