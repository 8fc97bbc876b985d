// A dialog with a form. The reason why the proxy refuses a value stands at the value.

import { open } from "./dialog.js";
import { h } from "./dom.js";

/** @typedef {object} Field
 * @property {string} name of the value in the request
 * @property {string} label
 * @property {"text" | "number" | "list" | "note" | "choice"} [kind]
 * @property {string} [hint]
 * @property {string} [value]
 * @property {boolean} [required]
 * @property {boolean} [fixed] it is shown and cannot be changed
 * @property {string[][]} [options] of a choice: value and words
 * @property {Promise<string[]>} [offers] values to choose from, or to type another */

/** Shows the form; `act(values)` sends it, or throws what stands in the form then. The values are
 * texts, numbers and lists; null is what was left empty.
 *
 * @param {object} options
 * @param {string} options.title
 * @param {string} [options.text]
 * @param {Field[]} options.fields
 * @param {string} options.verb
 * @param {(values: Record<string, any>) => Promise<void>} options.act */
export function formDialog({ title, text = "", fields, verb, act }) {
  const rows = fields.map(fieldRow);
  const error = h("p", { class: "error", role: "alert" });
  const cancel = h("button", { type: "button" }, "Cancel");
  const go = h("button", { type: "submit", class: "primary" }, verb);
  const form = h(
    "form",
    { method: "dialog", novalidate: true, autocomplete: "off" },
    h("h2", { id: "form-title" }, title),
    text && h("p", { class: "soft" }, text),
    h("div", { class: "fields" }, ...rows.map((row) => row.element)),
    error,
    h("div", { class: "buttons" }, cancel, go),
  );
  const dialog = h(
    "dialog",
    { class: "question wide-form", "aria-labelledby": "form-title" },
    form,
  );

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    for (const row of rows) row.complain("");
    error.textContent = "";
    const missing = rows.find((row) => row.field.required && row.read() === null);
    if (missing) return missing.complain(`${missing.field.label} is needed.`);
    go.disabled = true;
    try {
      await act(Object.fromEntries(rows.map((row) => [row.field.name, row.read()])));
      dialog.close();
    } catch (refused) {
      const [, name, why] = /^(\w+): ([^]+)$/.exec(refused.message) ?? [];
      const row = rows.find(({ field }) => field.name === name);
      if (row) row.complain(why[0].toUpperCase() + why.slice(1));
      else error.textContent = refused.message;
    } finally {
      go.disabled = false;
    }
  });
  cancel.addEventListener("click", () => dialog.close());
  open(dialog, { beside: false });
  rows.find((row) => !row.field.fixed)?.input.focus();
}

/** @param {Field} field */
function fieldRow(field) {
  const id = `field-${field.name}`;
  const described = `${id}-hint ${id}-wrong`;
  const common = {
    id,
    name: field.name,
    "aria-describedby": described,
    "aria-required": field.required ? "true" : null,
    disabled: field.fixed ?? false,
  };
  const input = inputOf(field, common);
  const wrong = h("p", { id: `${id}-wrong`, class: "error", role: "alert" });
  const offers = field.offers && h("datalist", { id: `${id}-offers` });
  field.offers?.then((values) => offers?.append(...values.map((value) => h("option", { value }))));
  return {
    field,
    input,
    element: h(
      "div",
      { class: `field ${field.kind === "note" ? "whole" : ""}` },
      h("label", { for: id }, field.label),
      input,
      offers,
      h("p", { id: `${id}-hint`, class: "soft hint" }, field.hint ?? ""),
      wrong,
    ),
    read: () => valueOf(field, input.value),
    complain(words) {
      wrong.textContent = words;
      if (!words) return input.removeAttribute("aria-invalid");
      input.setAttribute("aria-invalid", "true");
      input.focus();
    },
  };
}

/** @param {Field} field */
function inputOf(field, common) {
  if (field.kind === "choice") {
    const select = h(
      "select",
      common,
      ...(field.options ?? []).map(([value, words]) => h("option", { value }, words)),
    );
    select.value = field.value ?? "";
    return select;
  }
  if (field.kind === "note") {
    const area = h("textarea", { ...common, rows: 2 });
    area.value = field.value ?? "";
    return area;
  }
  const input = h("input", {
    ...common,
    type: "text",
    inputmode: field.kind === "number" ? "numeric" : null,
    list: field.offers ? `${common.id}-offers` : null,
    autocomplete: "off",
    spellcheck: "false",
  });
  input.value = field.value ?? "";
  return input;
}

/** @param {Field} field
 * @param {string} text */
function valueOf(field, text) {
  const given = text.trim();
  if (field.kind === "list") {
    const parts = given.split(",").map((part) => part.trim());
    const found = parts.filter(Boolean);
    return found.length ? found : null;
  }
  if (!given) return null;
  if (field.kind !== "number") return given;
  const number = Number(given.replaceAll(/[\s,_]/g, ""));
  return Number.isFinite(number) ? number : given; // the proxy says what it expected
}
