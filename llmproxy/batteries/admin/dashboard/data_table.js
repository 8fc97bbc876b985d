// A table of what the API lists. On a phone each row is a card, and each value has its column's name.

import { h } from "./dom.js";

/** @typedef {object} Column
 * @property {string} name
 * @property {string} [kind] classes: "lead" names the row, "wide" is left out on small screens
 * @property {(row: any) => any} cell what stands there: a text, an element, or a list of them */

/** `id`: what tells a row from the others, also when the table is drawn anew. `kind`: of the table.
 * @param {{kind?: string, caption: string, columns: Column[], rows: any[], id: (row: any) => string, tone?: (row: any) => string}} options */
export function dataTable({ kind = "", caption, columns, rows, id, tone = () => "" }) {
  // Explicit roles, because narrow screens lay the rows out as cards.
  const head = columns.map(({ name, kind = "" }) =>
    h("th", { scope: "col", role: "columnheader", class: kind }, name),
  );
  const lines = rows.map((row) =>
    h(
      "tr",
      { role: "row", "data-id": id(row), "data-tone": tone(row) || null },
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
    { class: `data ${kind}`.trim(), role: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...head)),
    h("tbody", { role: "rowgroup" }, ...lines),
  );
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
