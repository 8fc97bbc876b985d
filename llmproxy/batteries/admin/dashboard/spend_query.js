// What the page Spend asks for: dimensions, period and filters, as they stand in its address.

export const DIMENSIONS = [
  ["team", "Team"],
  ["key", "Key"],
  ["caller", "Caller"],
  ["model", "Model"],
  ["group", "Group"],
  ["endpoint", "Endpoint"],
  ["tag", "Tag"],
  ["end_user", "End user"],
  ["day", "Day"],
];
export const PERIODS = [
  ["24h", "24 h"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["90d", "90 days"],
  ["365d", "1 year"],
];
const BY = "team";
const SINCE = "30d";
const HOURS = /^(\d+h|[12]d)$/; // shorter than this, the chart shows hours

/** Dimensions that a filter can be of. */
export const FILTERS = DIMENSIONS.filter(([name]) => name !== "day");

const known = new Map(DIMENSIONS.map(([name, words]) => [name, words]));
export const wordOf = (dimension) => known.get(dimension) ?? dimension;

/** Reads the address: what is not known there is left out.
 * @param {Address} address */
export function queryOf(address) {
  const by = (address.read("by") || BY).split(",").filter((name) => known.has(name));
  const since = address.read("since") || SINCE;
  const until = address.read("until");
  const filters = FILTERS.map(([name]) => [name, address.read(name)]).filter(([, value]) => value);
  const dimensions = [...new Set(by)].slice(0, 2);
  return {
    by: dimensions.length ? dimensions : [BY],
    since,
    until,
    step: HOURS.test(since) ? "hour" : "day",
    filters,
  };
}

/** Returns the query of a request for rows by these dimensions.
 * @param {ReturnType<typeof queryOf>} query
 * @param {string[]} by */
export function requestOf({ since, until, step, filters }, by) {
  const query = new URLSearchParams({ by: by.join(","), since, step });
  if (until) query.set("until", until);
  for (const [name, value] of filters) query.set(name, value);
  return query;
}
