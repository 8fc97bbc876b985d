// The numbers of the last minute, with a detail or a total below each.

import { byId, h, setText } from "./dom.js";
import { bytes, count, millis, day, percent, rate, usd } from "./format.js";
import { costOf } from "./money.js";

/** The name of each tile, and the function that returns its value and the text below.
 * @type {[string, (state: ProxyView) => string[]][]} */
const STATS = [
  [
    "Calls",
    (state) => [`${rate(state.recent.calls_per_s)}/s`, `${count(state.in_flight)} in flight`],
  ],
  [
    "Errors",
    (state) => [
      state.recent.calls ? percent(state.recent.error_rate) : "–",
      `${count(state.recent.errors)} of ${count(state.recent.calls)} calls`,
    ],
  ],
  [
    "First byte",
    (state) => [
      millis(state.recent.first_byte_p50_ms),
      `p99 ${millis(state.recent.first_byte_p99_ms)}`,
    ],
  ],
  [
    "Tokens",
    (state) => [
      `${count(state.recent.input_tokens + state.recent.output_tokens)}/min`,
      `${count(state.recent.input_tokens)} in${cachedOf(state.recent)}, ${count(state.recent.output_tokens)} out`,
    ],
  ],
  [
    "Spend",
    (state) => [
      spent(state.recent, "/min"),
      `${spent(state.totals)} since ${day(state.started_at, state.now)}${unknownOf(state.totals)}`,
    ],
  ],
  ["Cache", (state) => (state.cache ? cacheStats(state) : ["off", "not configured"])],
];

/**
 * @param {RecentStats} recent
 * @returns {string} what of the input vendors had in their prompt caches
 */
function cachedOf(recent) {
  return recent.cached_tokens ? ` (${count(recent.cached_tokens)} cached)` : "";
}

/** @param {RecentStats | TotalStats} stats */
const spentOf = (stats) => costOf({ ...stats, unknown_calls: stats.unknown_cost_calls });

/** @param {RecentStats | TotalStats} stats */
function spent(stats, per = "") {
  const { text, known } = spentOf(stats);
  return known ? `${text}${per}` : text;
}

/** @param {TotalStats} totals */
function unknownOf(totals) {
  const { sure } = spentOf(totals);
  return sure ? ` ${sure}` : "";
}

/** Makes the tiles; returns the function that updates them. */
export function stats() {
  const cells = STATS.map(([name, read]) => {
    const value = h("dd", { class: "value" });
    const below = h("dd", { class: "soft" });
    byId("figures").append(h("div", {}, h("dt", {}, name), value, below));
    return { read, value, below };
  });
  return (state) => {
    for (const { read, value, below } of cells) {
      const [now, more] = read(state);
      setText(value, now);
      setText(below, more);
    }
  };
}

function cacheStats({ totals, cache }) {
  const asked = totals.cache_hits + totals.cache_misses;
  const saved =
    totals.saved_usd > 0
      ? `${usd(totals.saved_usd)} saved`
      : `${count(totals.saved_tokens)} tokens saved`;
  return [
    asked ? `${percent(totals.cache_hits / asked)} hits` : "–",
    `${saved}, ${bytes(cache.bytes)}`,
  ];
}
