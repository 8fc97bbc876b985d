// The endpoints by group, as one table. Rows are updated in place: while the numbers change, a button
// must not move away from the pointer, and the focus must not be lost. What is searched for and which
// groups are open stands in the address.

import { emptyState } from "./data_table.js";
import { byId, h, setText } from "./dom.js";
import { endpointRow } from "./endpoint_row.js";
import { folded, keyOf, ranksOf, sharesOf } from "./folding.js";
import { plural } from "./format.js";
import { groupRow } from "./group_row.js";

const IN_USE_MS = 5_000; // after the reader's last movement, rows may change places again
const COLUMNS = [
  ["Endpoint", "name"],
  ["Share", "number"],
  ["In flight", "number"],
  ["First byte", "number"],
  ["Errors", "number"],
  ["Spend/min", "number"],
  ["Capacity left", "capacity"],
  ["", "acts"],
];

/** Makes the table. `update(state)` draws it, `tick(now)` counts down between events, `follow()` draws
 * what the address says, and `reveal(group, endpoint)` opens and focuses an endpoint.
 * @param {Address} address */
export function endpointGroups(address) {
  const body = h("tbody", { role: "rowgroup" });
  const table = tableOf(body);
  const search = searchField((text) => address.go({ search: text }, { replace: true }));
  const nothing = h("div");
  byId("groups").replaceChildren(table, nothing);
  byId("endpoint-tools").replaceChildren(search);
  const rows = new Map();
  /** @type {ProxyView | null} */
  let state = null;
  let ranks = new Map();
  let inUseUntil = 0;
  for (const sign of ["pointermove", "pointerdown", "keydown"])
    table.addEventListener(sign, () => (inUseUntil = performance.now() + IN_USE_MS));

  const wanted = () => ({
    search: address.read("search"),
    open: namesIn(address.read("open")),
    closed: namesIn(address.read("closed")),
    all: address.read("all") !== "",
  });
  const toggle = (group, open) => {
    const { open: opened, closed } = wanted();
    const [add, take] = [(list) => [...list, group], (list) => list.filter((name) => name !== group)];
    address.go(
      {
        open: asText(open ? add(take(opened)) : take(opened)),
        closed: asText(open ? take(closed) : add(take(closed))),
      },
      { replace: true },
    );
  };
  const row = (key, make) => {
    if (!rows.has(key)) rows.set(key, make());
    return rows.get(key);
  };
  const spendOf = (filters) => address.link(filters, "", "spend");

  const draw = () => {
    if (state === null) return;
    const { folds, more } = folded(state.groups, wanted(), ranks);
    const serves = groupsOfEndpoints(state.groups);
    const shown = [];
    for (const fold of folds) {
      const name = fold.group.group;
      const head = row(keyOf(name), () =>
        groupRow(name, spendOf({ by: "endpoint", group: name }), (open) => toggle(name, open)),
      );
      head.update(fold.group, fold.open);
      shown.push([keyOf(name), head]);
      const shares = sharesOf(fold.group);
      const severalTiers = new Set(fold.group.endpoints.map(({ tier }) => tier)).size > 1;
      for (const endpoint of fold.endpoints) {
        const key = keyOf(name, endpoint.endpoint);
        const line = row(key, () => {
          const filters = { by: "day", group: name, endpoint: endpoint.endpoint };
          return endpointRow(name, endpoint.endpoint, spendOf(filters));
        });
        const share = shares.get(endpoint.endpoint);
        line.update(endpoint, state.now, serves.get(endpoint.endpoint), share, severalTiers);
        shown.push([key, line]);
      }
      if (!fold.more) continue;
      const rest = row(`more ${keyOf(name)}`, () => moreRow(() => toggle(name, true)));
      rest.update(`Show ${fold.more} more endpoints of ${name}`);
      shown.push([`more ${keyOf(name)}`, rest]);
    }
    if (more) {
      const rest = row("more", () => moreRow(() => address.go({ all: "1" }, { replace: true })));
      rest.update(`Show ${plural(more, "more healthy group")}`);
      shown.push(["more", rest]);
    }
    arrange(body, rows, shown);
    table.hidden = !shown.length;
    const { length } = state.groups;
    drawNothing(nothing, shown.length ? "" : `no ${length} ${search.value}`, () =>
      nothingFound(length, search, address),
    );
  };
  return {
    follow() {
      const text = address.read("search");
      if (search.value !== text) search.value = text;
      draw();
    },
    update(latest) {
      const before = ranks;
      [state, ranks] = [latest, ranksOf(latest.groups)];
      if (performance.now() < inUseUntil) ranks = new Map([...ranks, ...before]);
      draw();
    },
    reveal(group, endpoint) {
      const id = `e-${encodeURIComponent(group)}-${encodeURIComponent(endpoint)}`;
      if (!document.getElementById(id)) {
        if (address.read("search")) address.go({ search: "" }, { replace: true });
        toggle(group, true);
      }
      const there = document.getElementById(id);
      there?.scrollIntoView({ block: "center" });
      there?.focus();
    },
    tick(now) {
      for (const line of rows.values()) line.tick?.(now);
    },
  };
}

function tableOf(body) {
  // Explicit roles, because narrow screens lay the rows out as cards.
  const heads = COLUMNS.map(([name, kind]) =>
    name
      ? h("th", { scope: "col", role: "columnheader", class: kind }, name)
      : h("td", { role: "cell", class: kind }),
  );
  return h(
    "table",
    { class: "data endpoints", role: "table" },
    h("caption", { class: "hidden" }, "Model groups and their endpoints, the worst first"),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads)),
    body,
  );
}

function searchField(changed) {
  const field = h("input", {
    type: "search",
    placeholder: "Group or endpoint",
    "aria-label": "Search the endpoints",
    autocomplete: "off",
    spellcheck: "false",
  });
  field.addEventListener("input", () => changed(field.value));
  return field;
}

function moreRow(show) {
  const button = h("button", { type: "button", class: "quiet small" });
  const element = h(
    "tr",
    { class: "more", role: "row" },
    h("td", { role: "cell", colspan: COLUMNS.length }, button),
  );
  button.addEventListener("click", () => {
    const [place, index] = [element.parentElement, [...element.parentElement.children].indexOf(element)];
    show();
    // The button has moved down or gone: what it has shown stands in its place.
    /** @type {HTMLElement | null} */ (place.children[index]?.querySelector("button"))?.focus();
  });
  return {
    element,
    update: (words) => setText(button, words),
  };
}

function drawNothing(place, key, make) {
  if (place.dataset.key === key) return; // its button may have the focus
  place.dataset.key = key;
  place.replaceChildren(...(key ? [make()] : []));
}

/** @param {number} groups
 * @param {HTMLInputElement} search
 * @param {Address} address */
function nothingFound(groups, search, address) {
  if (!groups)
    return emptyState(
      "There are no model groups",
      "Add model_groups to the config; it is read again when it is saved.",
    );
  const clear = h("button", { type: "button" }, "Clear the search");
  clear.addEventListener("click", () => {
    address.go({ search: "" }, { replace: true });
    search.focus();
  });
  return emptyState(`No group and no endpoint is called like “${address.read("search")}”`, clear);
}

function groupsOfEndpoints(groups) {
  const serves = new Map();
  for (const { group, endpoints } of groups) {
    for (const { endpoint } of endpoints)
      serves.set(endpoint, [...(serves.get(endpoint) ?? []), group]);
  }
  return serves;
}

/** Shows these rows in this order and drops the others; what is in its place is not touched, and the
 * focus stays where it is. */
function arrange(place, rows, shown) {
  const focused = document.activeElement;
  const keys = new Set(shown.map(([key]) => key));
  for (const [key, { element }] of rows) {
    if (keys.has(key)) continue;
    element.remove();
    rows.delete(key);
  }
  shown.forEach(([, { element }], index) => {
    if (place.children[index] !== element)
      place.insertBefore(element, place.children[index] ?? null);
  });
  if (focused instanceof HTMLElement && focused !== document.activeElement && place.contains(focused))
    focused.focus({ preventScroll: true });
}

// Names of groups in the address, parted by commas.
const asText = (names) => names.map(encodeURIComponent).join(",");
const namesIn = (text) => (text ? text.split(",").map(decoded) : []);

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // somebody typed it
  }
}
