// One endpoint as a row of the overview. It is updated in place.

import { clear, drain, enable } from "./actions.js";
import { h, setText } from "./dom.js";
import { count, countdown, duration, millis, percent } from "./format.js";
import { icon } from "./icons.js";
import { levelBar } from "./levels.js";
import { costOf } from "./money.js";
import { isUnavailable, reasonOf, sinceOf, stateOf, STATE_WORDS, toneOf } from "./words.js";

const SLOW_RULE =
  "Slow: the median time to the first byte, over the last minute, is above 3 times its median of the last 24 hours (or since the start) and 0.2 s more. It ends below 2 times.";
const SHARE_RULE =
  "Its share of the group's attempts in the last minute, and its share by weight among the endpoints that take calls. A strategy, conversations that stay where they are, and limits move calls between endpoints.";

/** Makes a row; `spend`: a link to what the endpoint has cost. */
export function endpointRow(group, name, spend) {
  const parts = rowParts(group, name, spend);
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
      stateOf(endpoint) === "ok" ? "" : `for ${duration(serverNow - sinceOf(endpoint) + now - at)}`,
    );
  };
  return {
    element: parts.element,
    tick,
    /** @param {EndpointView} latest
     * @param {{calls: number | null, weight: number}} share */
    update(latest, now, groups, share, severalTiers) {
      [endpoint, serverNow, serves, at] = [latest, now, groups, performance.now() / 1000];
      drawRow(parts, endpoint, share, severalTiers);
      tick(at);
    },
  };
}

function rowParts(group, name, spend) {
  const soft = () => h("span", { class: "below soft" });
  const parts = {
    sign: h("span", { class: "sign" }),
    word: h("span", { class: "word" }),
    why: h("span", { class: "why" }),
    left: h("span", { class: "left" }),
    since: h("span", { class: "soft since" }),
    tier: h("span", { class: "soft" }),
    share: h("span"),
    weight: soft(),
    inFlight: h("span"),
    p50: h("span"),
    p99: soft(),
    errors: h("span"),
    attempts: soft(),
    spend,
    sure: soft(),
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
  const cell = (column, kind, ...children) =>
    h("td", { role: "cell", class: kind, "data-name": column }, ...children);
  const { requests, tokens, concurrent } = parts.levels;
  const load = cell("Share", "number", parts.share, parts.weight);
  load.title = SHARE_RULE;
  parts.state = h("p", { class: "state" }, parts.sign, parts.word, parts.why, parts.left, parts.since, parts.tier);
  parts.element = h(
    "tr",
    {
      id: `e-${encodeURIComponent(group)}-${encodeURIComponent(name)}`,
      class: "endpoint",
      role: "row",
      tabindex: "-1",
    },
    h("th", { scope: "row", role: "rowheader", class: "name" }, h("h4", {}, name), parts.state),
    load,
    cell("In flight", "number", parts.inFlight),
    cell("First byte", "number", parts.p50, parts.p99),
    cell("Errors", "number", parts.errors, parts.attempts),
    cell("Spend/min", "number", parts.spend, parts.sure),
    cell("Capacity left", "capacity", requests.element, tokens.element, concurrent.element, parts.none),
    cell("", "acts", h("div", {}, parts.clear, parts.drain)),
  );
  return parts;
}

/** @param {EndpointView} endpoint
 * @param {{calls: number | null, weight: number}} share */
function drawRow(parts, endpoint, share, severalTiers) {
  const { recent, capacity } = endpoint;
  const state = stateOf(endpoint);
  parts.element.dataset.tone = toneOf(state);
  parts.element.dataset.idle = !recent.calls;
  if (parts.sign.dataset.state !== state) {
    parts.sign.dataset.state = state;
    parts.sign.replaceChildren(icon(state));
    parts.state.title = state === "slow" ? SLOW_RULE : "";
  }
  setText(parts.word, STATE_WORDS[state] ?? state);
  setText(parts.why, reasonOf(endpoint));
  setText(
    parts.tier,
    [severalTiers ? `tier ${endpoint.tier}` : "", endpoint.weight ? "" : "last resort"]
      .filter(Boolean)
      .join(", "),
  );
  setText(parts.share, share.calls === null ? "–" : percent(share.calls));
  setText(parts.weight, isUnavailable(endpoint) ? "" : `${percent(share.weight)} by weight`);
  setText(parts.inFlight, count(endpoint.in_flight));
  setText(parts.p50, millis(recent.first_byte_p50_ms));
  setText(
    parts.p99,
    recent.first_byte_p99_ms === null ? "" : `p99 ${millis(recent.first_byte_p99_ms)}`,
  );
  setText(parts.errors, recent.calls ? percent(recent.error_rate) : "–");
  parts.errors.dataset.tone = recent.error_rate >= 0.05 ? "bad" : "";
  setText(parts.attempts, recent.calls ? `of ${count(recent.calls)}` : "");
  drawSpend(parts, recent);
  for (const [name, bar] of Object.entries(parts.levels)) bar.update(capacity[name]);
  parts.none.hidden = Object.values(capacity).some((level) => level !== null);
  setText(parts.drainWord, endpoint.drained ? "Enable" : "Drain");
  parts.clear.hidden = !(
    endpoint.breaker !== "closed" ||
    endpoint.state === "cooling" ||
    endpoint.state === "misconfigured"
  );
}

/** Shows what the last minute has cost.
 * @param {{spend: HTMLElement, sure: HTMLElement}} parts
 * @param {RecentStats} recent */
export function drawSpend(parts, recent) {
  const { text, sure } = costOf({ ...recent, unknown_calls: recent.unknown_cost_calls });
  setText(parts.spend, recent.calls ? text : "–");
  parts.spend.classList.toggle("none", !recent.calls);
  setText(parts.sure, recent.calls ? sure : "");
}
