// Which groups and endpoints the overview shows, and in which order: the worst first, and of what is
// healthy as much as fits on a screen. Pure functions; they draw nothing.

import { rankOf } from "./words.js";

const SMALL = 10; // up to so many endpoints, all are shown
const LINES = 12; // what a screen has room for: a group is one line
const LINES_OF_ENDPOINT = 1.5;
const ALWAYS = 3; // healthy groups that are shown in any case
const SHOWN = 4; // endpoints of a group that opened by itself
const TROUBLE = 0.5; // the lowest rank that a person should look at: slow

/** @typedef {{group: GroupView, open: boolean, endpoints: EndpointView[], more: number}} Fold */

/** Returns the ranks of groups and endpoints by `keyOf`, the worst highest.
 * @param {GroupView[]} groups */
export function ranksOf(groups) {
  const ranks = new Map();
  for (const group of groups) {
    const own = group.endpoints.map(rankOf);
    group.endpoints.forEach(({ endpoint }, at) => ranks.set(keyOf(group.group, endpoint), own[at]));
    const busy = group.waiting > 0 || group.endpoints.some(({ state }) => state === "full");
    const down = group.status === "down" ? 10 : 0;
    ranks.set(keyOf(group.group), Math.max(down, busy ? 0.25 : 0, ...own));
  }
  return ranks;
}

export const keyOf = (group, endpoint = "") => JSON.stringify([group, endpoint]);

/** Returns the groups to show, and how many healthy ones are folded away.
 *
 * `open` and `closed`: names of groups that the reader has opened or closed; `all`: fold no group away.
 *
 * @param {GroupView[]} groups
 * @param {{search?: string, open?: string[], closed?: string[], all?: boolean}} wanted
 * @param {Map<string, number>} [ranks]
 * @returns {{folds: Fold[], more: number}} */
export function folded(groups, { search = "", open = [], closed = [], all = false }, ranks = ranksOf(groups)) {
  const words = search.trim().toLowerCase();
  const has = (name) => name.toLowerCase().includes(words);
  const rank = (group, endpoint) => ranks.get(keyOf(group, endpoint)) ?? 0;
  const few = groups.reduce((sum, { endpoints }) => sum + endpoints.length, 0) <= SMALL;
  const folds = groups.flatMap((group) => {
    const name = group.group;
    const members = has(name) ? group.endpoints : group.endpoints.filter((one) => has(one.endpoint));
    if (!members.length && !has(name)) return [];
    const ranked = members.toSorted((a, b) => rank(name, b.endpoint) - rank(name, a.endpoint));
    const troubled = ranked.filter((one) => rank(name, one.endpoint) >= TROUBLE).length;
    const whole = few || open.includes(name) || members !== group.endpoints;
    const isOpen = open.includes(name) || ((whole || troubled > 0) && !closed.includes(name));
    const shown = !isOpen ? [] : whole ? ranked : firstOf(ranked, Math.max(SHOWN, troubled));
    const more = isOpen ? ranked.length - shown.length : 0;
    return [{ group, open: isOpen, endpoints: shown, more, troubled }];
  });
  folds.sort((a, b) => rank(b.group.group) - rank(a.group.group));
  if (all || few || words) return { folds, more: 0 };
  return fitting(folds, open);
}

function fitting(folds, open) {
  const troubled = folds.filter((fold) => fold.troubled);
  const healthy = folds.filter((fold) => !fold.troubled);
  const used = troubled.reduce((sum, fold) => sum + 1 + fold.endpoints.length * LINES_OF_ENDPOINT, 0);
  const shown = firstOf(healthy, Math.max(ALWAYS, Math.floor(LINES - used)));
  const opened = healthy.slice(shown.length).filter((fold) => open.includes(fold.group.group));
  return {
    folds: [...troubled, ...shown, ...opened],
    more: healthy.length - shown.length - opened.length,
  };
}

/** Returns the first ones. A last one alone is shown, too: the line that says so would be as long. */
const firstOf = (list, number) => (list.length <= number + 1 ? list : list.slice(0, number));

/** Returns for each endpoint of a group, by name, its share of the attempts of the last minute (null:
 * there were none), and its share by weight among those that take calls before all others.
 * @param {GroupView} group
 * @returns {Map<string, {calls: number | null, weight: number}>} */
export function sharesOf(group) {
  const attempts = group.endpoints.reduce((sum, { recent }) => sum + recent.calls, 0);
  const able = group.endpoints.filter((endpoint) => rankOf(endpoint) < 1);
  const regular = able.filter(({ weight }) => weight > 0);
  const tier = Math.min(...regular.map((endpoint) => endpoint.tier));
  const first = regular.filter((endpoint) => endpoint.tier === tier);
  const weights = first.reduce((sum, { weight }) => sum + weight, 0);
  return new Map(
    group.endpoints.map((endpoint) => [
      endpoint.endpoint,
      {
        calls: attempts ? endpoint.recent.calls / attempts : null,
        weight: first.includes(endpoint) ? endpoint.weight / weights : 0,
      },
    ]),
  );
}
