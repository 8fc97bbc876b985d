// Which calls the page Calls looks for: all of it stands in the address.

import { addressOf } from "./api.js";
import { h } from "./dom.js";
import { redraw } from "./focus.js";

const NAMES = [
  ["id", "id"],
  ["caller", "caller"],
  ["team", "team"],
  ["key", "key"],
  ["group", "group"],
  ["endpoint", "endpoint"],
  ["model", "model"],
  ["code", "code"],
  ["status", "status"],
  ["until", "until"],
];
const PERIODS = [
  ["", "all"],
  ["1h", "1 hour"],
  ["1d", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
];

/** Returns the parameters of `/admin/calls`.
 * @param {Address} address */
export function queryOf(address) {
  const names = [...NAMES.map(([name]) => name), "since", "notable"];
  return new URLSearchParams(
    names.map((name) => [name, address.read(name)]).filter(([, value]) => value),
  );
}

/** Makes the controls; `follow()` draws them as the address says.
 * @param {Address} address */
export function callFilters(address) {
  const periods = PERIODS.map(([value, words]) => {
    const input = h("input", { type: "radio", name: "since", value });
    input.addEventListener("change", () => address.go({ since: value }));
    return h("label", {}, input, h("span", {}, words));
  });
  const kind = h(
    "select",
    { "aria-label": "Filter by" },
    ...NAMES.map(([value, words]) => h("option", { value }, words)),
  );
  const value = h("input", {
    type: "text",
    "aria-label": "Only",
    placeholder: "exact, or 5xx",
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
  add.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!value.value.trim()) return value.focus();
    address.go({ [kind.value]: value.value.trim() });
    value.value = "";
  });
  const notable = h("input", { type: "checkbox", id: "only-notable" });
  notable.addEventListener("change", () => address.go({ notable: notable.checked ? "true" : "" }));
  const chips = h("ul", { class: "filter-chips", "aria-label": "Filters" });
  const csv = h("a", { class: "button", download: "calls.csv" }, "Export CSV");
  const json = h("a", { class: "button", download: "calls.json" }, "JSON");
  return {
    element: h(
      "div",
      {},
      h(
        "div",
        { class: "bar" },
        h("h2", {}, "Calls"),
        h("fieldset", { class: "switch" }, h("legend", { class: "hidden" }, "Period"), ...periods),
        csv,
        json,
      ),
      h(
        "div",
        { class: "bar filters" },
        add,
        h("label", { class: "check" }, notable, " Errors and retries only"),
        chips,
      ),
    ),
    follow() {
      const query = queryOf(address);
      for (const period of periods) {
        const input = /** @type {HTMLInputElement} */ (period.firstElementChild);
        input.checked = input.value === address.read("since");
      }
      notable.checked = query.has("notable");
      const set = NAMES.filter(([name]) => query.has(name));
      const focused = chips.contains(document.activeElement);
      redraw(chips, ...set.map(([name, words]) => chip(name, words, address)));
      if (focused && !chips.contains(document.activeElement)) kind.focus(); // its chip has gone
      csv.href = `${addressOf("admin/calls.csv")}?${query}`;
      json.href = `${addressOf("admin/calls")}?${new URLSearchParams([...query, ["limit", "1000"]])}`;
    },
  };
}

/** @param {Address} address */
function chip(name, words, address) {
  return h(
    "li",
    {},
    h(
      "button",
      { type: "button", class: "small", onclick: () => address.go({ [name]: "" }) },
      h("span", { class: "hidden" }, "Remove the filter "),
      `${words}: `,
      h("bdi", {}, address.read(name)),
      h("span", { "aria-hidden": "true" }, " ×"),
    ),
  );
}
