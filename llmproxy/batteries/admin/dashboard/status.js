// The top of the page: one sentence about the proxy, the unavailable endpoints, and banners.

import { addressOf } from "./api.js";
import { byId, h, setText } from "./dom.js";
import { redraw } from "./focus.js";
import { clock, duration, moment, plural } from "./format.js";
import { icon } from "./icons.js";
import { headlineOf, sinceOf, stateLine, stateOf, toneOf, troublesOf } from "./words.js";

const SHOWN = 6;

/** Makes the status. `update(state)` draws it, `tick(now)` counts down between events. A line calls
 * `reveal(group, endpoint)` when it is clicked. */
export function statusLine(reveal) {
  let rows = [];
  return {
    /** @param {ProxyView} state */
    update(state) {
      const { tone, text } = headlineOf(state);
      byId("status").dataset.tone = tone;
      setText(byId("headline"), text);
      document.title =
        tone === "ok" ? "LLMProxy" : `${tone === "bad" ? "✕" : "!"} ${text} · LLMProxy`;
      rows = drawTroubles(troublesOf(state), rows, state.now, reveal);
      drawFirstCall(state);
      setText(byId("facts"), factsOf(state));
      drawBanners(state);
    },
    tick(now) {
      for (const row of rows) row.tick(now);
    },
  };
}

function drawTroubles(troubles, before, now, reveal) {
  const list = byId("troubles");
  list.hidden = !troubles.length;
  const key = JSON.stringify(
    troubles.map(({ group, endpoint }) => [group, endpoint.endpoint, stateOf(endpoint)]),
  );
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    before = troubles.slice(0, SHOWN).map((trouble) => troubleRow(trouble, reveal));
    redraw(list, ...before.map((row) => row.element));
    const more = troubles.length - SHOWN;
    if (more > 0) list.append(h("li", { class: "soft" }, `and ${more} more below`));
  }
  before.forEach((row, index) => row.update(troubles[index].endpoint, now));
  return before;
}

/** @param {{group: string, endpoint: EndpointView}} trouble
 * @param {(group: string, endpoint: string) => void} reveal */
function troubleRow({ group, endpoint }, reveal) {
  const line = h("span");
  const since = h("span", { class: "soft since" });
  const target = `e-${encodeURIComponent(group)}-${encodeURIComponent(endpoint.endpoint)}`;
  const link = h("a", { href: `#${target}`, "data-target": target }, endpoint.endpoint);
  link.addEventListener("click", (event) => {
    event.preventDefault(); // the address may name a call
    reveal(group, endpoint.endpoint);
  });
  let known = endpoint;
  let at = 0;
  const tick = (now) => setText(line, stateLine(known, (known.ready_in_s ?? 0) - (now - at)));
  return {
    element: h(
      "li",
      { "data-id": target, "data-tone": toneOf(stateOf(endpoint)) },
      icon(stateOf(endpoint)),
      h("span", {}, link, h("span", { class: "soft" }, ` in ${group}: `), line, since),
    ),
    tick,
    /** @param {EndpointView} endpoint
     * @param {number} serverNow */
    update(endpoint, serverNow) {
      known = endpoint;
      at = performance.now() / 1000;
      setText(since, ` · since ${moment(sinceOf(endpoint), serverNow)}`);
      tick(at);
    },
  };
}

/** Shows how to make the first call, until there is one.
 * @param {ProxyView} state */
function drawFirstCall({ totals, groups }) {
  const place = byId("first-call");
  place.hidden = totals.calls > 0 || !groups.length;
  if (place.hidden || place.children.length) return;
  const example = `curl ${addressOf("v1/chat/completions")} -H 'content-type: application/json' \\\n  -d '{"model": "${groups[0].group}", "messages": [{"role": "user", "content": "Hello!"}]}'`;
  place.append(
    h("p", {}, "Make the first one; with callers in the config, send the key of one:"),
    h("pre", { tabindex: "0", "aria-label": "An example call" }, example),
  );
}

/** @param {ProxyView} state */
function factsOf(state) {
  const { config } = state;
  const facts = [
    `up for ${duration(state.now - state.started_at)}`,
    state.workers > 1 ? plural(state.workers, "worker") : null,
    state.shared ? plural(state.shared.instances, "instance") : null,
    config.source ? `${config.source} loaded ${moment(config.loaded_at, state.now)}` : "no config file",
    config.reloads ? plural(config.reloads, "reload") : null,
    config.failed_reloads ? `${config.failed_reloads} refused` : null,
    state.lost.traces ? `${plural(state.lost.traces, "call")} missing in the traces` : null,
    state.lost.access_log ? `${plural(state.lost.access_log, "call")} missing in the access log` : null,
    state.database?.lost ? `${plural(state.database.lost, "call")} missing in the store` : null,
  ];
  return facts.filter(Boolean).join(" · ");
}

/** @param {ProxyView} state */
function drawBanners(state) {
  const { config, shared, cache, database } = state;
  /** @type {[string, string | null][]} */
  const banners = [];
  if (config.error !== null) {
    const when = config.error_at ? ` at ${clock(config.error_at)}` : "";
    banners.push([`The new config was refused${when}; the previous one stays in use.`, config.error]);
  }
  if (database && database.connected === false) {
    const waiting = plural(database.queued + database.spooled, "call");
    banners.push([`The database is away: ${waiting} wait to be written to it.`, database.why]);
  }
  if (shared && !shared.connected) {
    const since = duration(shared.since_s);
    banners.push([
      `Shared state has been disconnected for ${since}: each instance keeps to its share of every limit.`,
      shared.why,
    ]);
  }
  if (cache?.store && !cache.store.connected) {
    banners.push([
      "The cache's store is disconnected: only answers in memory are found.",
      cache.store.why,
    ]);
  }
  const place = byId("banners");
  const key = JSON.stringify(banners);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(
    ...banners.map(([what, why]) =>
      h(
        "div",
        { class: "banner", "data-tone": "bad", role: "alert" },
        icon("misconfigured"),
        h("div", {}, h("strong", {}, what), why ? h("pre", {}, why) : null),
      ),
    ),
  );
}
