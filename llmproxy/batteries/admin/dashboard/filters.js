// Filters that stand in a page's address: a period, and "only" filters, each shown as a chip.

import { h } from "./dom.js";
import { redraw } from "./focus.js";

/** Makes the switch of periods; `follow(value)` marks one, and none if there is no such period.
 * @param {string[][]} periods [value, words]
 * @param {(since: string) => void} choose */
export function periodSwitch(periods, choose) {
  const inputs = periods.map(([value]) => {
    const input = /** @type {HTMLInputElement} */ (h("input", { type: "radio", name: "since", value }));
    input.addEventListener("change", () => choose(value));
    return input;
  });
  const labels = inputs.map((input, index) => h("label", {}, input, h("span", {}, periods[index][1])));
  return {
    element: h("fieldset", { class: "switch" }, h("legend", { class: "hidden" }, "Period"), ...labels),
    follow(value) {
      for (const input of inputs) input.checked = input.value === value;
    },
  };
}

/** Makes the form that adds a filter, and the chips that take one out; `follow()` draws the chips.
 * @param {Address} address
 * @param {string[][]} kinds [name in the address, words]
 * @param {string} placeholder */
export function onlyFilters(address, kinds, placeholder) {
  const kind = h(
    "select",
    { "aria-label": "Filter by" },
    ...kinds.map(([value, words]) => h("option", { value }, words)),
  );
  const value = h("input", {
    type: "text",
    "aria-label": "Only",
    placeholder,
    autocomplete: "off",
    spellcheck: "false",
  });
  const form = h(
    "form",
    { class: "add-filter" },
    h("span", { class: "soft" }, "Only"),
    kind,
    value,
    h("button", { type: "submit" }, "Add"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!value.value.trim()) return value.focus();
    address.go({ [kind.value]: value.value.trim() });
    value.value = "";
  });
  const chips = h("ul", { class: "filter-chips", "aria-label": "Filters" });
  return {
    form,
    chips,
    follow() {
      const set = kinds.filter(([name]) => address.read(name));
      const focused = chips.contains(document.activeElement);
      redraw(chips, ...set.map(([name, words]) => chip(name, words, address)));
      if (focused && !chips.contains(document.activeElement)) kind.focus(); // its chip has gone
    },
  };
}

/** @param {string} name
 * @param {string} words
 * @param {Address} address */
function chip(name, words, address) {
  const off = h(
    "button",
    { type: "button", class: "small", onclick: () => address.go({ [name]: "" }) },
    h("span", { class: "hidden" }, "Remove the filter "),
    `${words}: `,
    h("bdi", {}, address.read(name)),
    h("span", { "aria-hidden": "true" }, " ×"),
  );
  return h("li", {}, off);
}
