// What the spend is shown by, of which period, and of whom: all of it stands in the address.

import { addressOf } from "./api.js";
import { h } from "./dom.js";
import { redraw } from "./focus.js";
import { DIMENSIONS, FILTERS, PERIODS, queryOf, requestOf, wordOf } from "./spend_query.js";

/** Makes the controls; `follow()` draws them as the address says.
 * @param {Address} address */
export function spendFilters(address) {
  const options = DIMENSIONS.map(([value, words]) => h("option", { value }, words));
  const first = h("select", { "aria-label": "By" }, ...options);
  const second = h(
    "select",
    { "aria-label": "Then by" },
    h("option", { value: "" }, "nothing else"),
    ...options.map((one) => one.cloneNode(true)),
  );
  const spans = PERIODS.map(([value, words]) => {
    const input = h("input", { type: "radio", name: "since", value });
    input.addEventListener("change", () => address.go({ since: value, until: "" }));
    return h("label", {}, input, h("span", {}, words));
  });
  const kind = h(
    "select",
    { "aria-label": "Filter by" },
    ...FILTERS.map(([value, words]) => h("option", { value }, words)),
  );
  const value = h("input", {
    type: "text",
    "aria-label": "Only",
    placeholder: "exact name",
    autocomplete: "off",
    spellcheck: "false",
  });
  const add = h(
    "form",
    { class: "add-filter" },
    h("span", { class: "soft" }, "Only"),
    kind,
    value,
    h("button", { type: "submit" }, "Add"),
  );
  const chips = h("ul", { class: "filter-chips", "aria-label": "Filters" });
  const csv = h("a", { class: "button", download: "spend.csv" }, "Export CSV");

  const by = () =>
    [first.value, second.value].filter((name, index, all) => name && all.indexOf(name) === index);
  for (const select of [first, second])
    select.addEventListener("change", () => address.go({ by: by().join(",") }));
  add.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!value.value.trim()) return value.focus();
    address.go({ [kind.value]: value.value.trim() });
    value.value = "";
  });
  return {
    element: h(
      "div",
      { class: "spend-controls" },
      h(
        "div",
        { class: "bar" },
        h("h2", {}, "Spend"),
        h("fieldset", { class: "switch" }, h("legend", { class: "hidden" }, "Period"), ...spans),
        csv,
      ),
      h(
        "div",
        { class: "bar filters" },
        h("span", { class: "pick" }, "By ", first),
        h("span", { class: "pick" }, "then ", second),
        add,
        chips,
      ),
    ),
    follow() {
      const query = queryOf(address);
      [first.value, second.value] = [query.by[0], query.by[1] ?? ""];
      for (const span of spans) {
        const input = /** @type {HTMLInputElement} */ (span.firstElementChild);
        input.checked = input.value === query.since && !query.until;
      }
      const focused = chips.contains(document.activeElement);
      redraw(chips, ...query.filters.map(([name, value]) => chip(name, value, address)));
      if (focused && !chips.contains(document.activeElement)) kind.focus(); // its chip has gone
      csv.href = `${addressOf("admin/spend.csv")}?${requestOf(query, query.by)}`;
    },
  };
}

function chip(name, value, address) {
  const off = h(
    "button",
    { type: "button", class: "small", onclick: () => address.go({ [name]: "" }) },
    h("span", { class: "hidden" }, "Remove the filter "),
    `${wordOf(name)}: `,
    h("bdi", {}, value),
    h("span", { "aria-hidden": "true" }, " ×"),
  );
  return h("li", {}, off);
}
