// A table of what the API lists. On a phone each row is a card, and each value has its column's name.

import { h } from "./dom.js";

/** @typedef {object} Column
 * @property {string} name
 * @property {"" | "number" | "wide" | "number wide" | "lead"} [kind] "wide" is left out on small screens
 * @property {(row: any) => any} cell what stands there: a text, an element, or a list of them */

/** @param {{caption: string, columns: Column[], rows: any[], tone?: (row: any) => string}} options */
export function dataTable({ caption, columns, rows, tone = () => "" }) {
  // Explicit roles, because narrow screens lay the rows out as cards.
  const head = columns.map(({ name, kind = "" }) =>
    h("th", { scope: "col", role: "columnheader", class: kind }, name),
  );
  const lines = rows.map((row) =>
    h(
      "tr",
      { role: "row", "data-tone": tone(row) || null },
      ...columns.map(({ name, kind = "", cell }, index) =>
        h(
          index ? "td" : "th",
          {
            role: index ? "cell" : "rowheader",
            scope: index ? null : "row",
            class: kind,
            "data-name": name,
          },
          ...[cell(row)].flat(),
        ),
      ),
    ),
  );
  return h(
    "table",
    { class: "data", role: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...head)),
    h("tbody", { role: "rowgroup" }, ...lines),
  );
}

/** Draws anew; a link that has the focus keeps it.
 * @param {HTMLElement} place
 * @param {HTMLElement} content */
export function redraw(place, content) {
  const focused = place.contains(document.activeElement) && document.activeElement;
  const href = focused instanceof HTMLAnchorElement ? focused.href : null;
  place.replaceChildren(content);
  const links = href
    ? /** @type {NodeListOf<HTMLAnchorElement>} */ (place.querySelectorAll("a"))
    : [];
  for (const link of links) if (link.href === href) return link.focus();
}

/** Says that there is nothing, and what to do next.
 * @param {string} title
 * @param {(string | HTMLElement)[]} next */
export function emptyState(title, ...next) {
  return h(
    "div",
    { class: "card nothing" },
    h("h3", {}, title),
    ...next.map((one) => (typeof one === "string" ? h("p", {}, one) : one)),
  );
}
