// Dialogs: a confirmation before an action, and its result. Escape and Cancel change nothing.

import { h } from "./dom.js";
import { findAgain } from "./focus.js";

/** Shows a title, a text and maybe a choice ({label, options: [[value, words]]}), then acts.
 *
 * `act(choice)` returns lines that say what was done, or throws: the dialog then stays open and shows
 * the error. If `keep(lines)` is true, the dialog shows the lines, too; `done` gets the first one.
 *
 * @param {object} options
 * @param {string} options.title
 * @param {string} options.text
 * @param {{label: string, options: string[][]} | false | null} [options.choice]
 * @param {string} options.verb
 * @param {boolean} [options.danger]
 * @param {(choice: string) => Promise<string[]>} options.act
 * @param {(line: string) => void} options.done
 * @param {(lines: string[]) => boolean} [options.keep] */
export function confirmAction({
  title,
  text,
  choice = null,
  verb,
  danger = false,
  act,
  done,
  keep = () => false,
}) {
  const error = h("pre", { class: "error", role: "alert" });
  const cancel = h("button", { type: "button", autofocus: true }, "Cancel");
  const go = h("button", { type: "submit", class: danger ? "danger" : "primary" }, verb);
  const select =
    choice &&
    h("select", {}, ...choice.options.map(([value, words]) => h("option", { value }, words)));
  const body = h(
    "div",
    {},
    h("p", {}, text),
    select && h("label", { class: "pick" }, choice.label, " ", select),
  );
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "question" }, title),
    body,
    error,
    h("div", { class: "buttons" }, cancel, go),
  );
  const dialog = h("dialog", { class: "question", "aria-labelledby": "question" }, form);

  const finish = (lines) => {
    body.replaceChildren(...lines.map((line) => h("p", { class: "line" }, line)));
    error.textContent = "";
    go.remove();
    cancel.textContent = "Close";
    cancel.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    error.textContent = "";
    try {
      const lines = await act(select ? select.value : "");
      done(lines[0]);
      if (keep(lines)) finish(lines);
      else dialog.close();
    } catch (refused) {
      error.textContent = refused.message;
      go.disabled = false;
    }
  });
  cancel.addEventListener("click", () => dialog.close());
  open(dialog);
}

// Finds what had the focus before a dialog, which gets it back.
const openers = new WeakMap();

/** A dialog that follows another one was opened by what opened the first. */
function opener() {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  return openers.get(focused?.closest("dialog") ?? document) ?? findAgain(focused);
}

/** Opens a dialog, and removes it when it is closed; a click beside it closes it, unless what was typed
 * would be lost (`beside: false`). */
export function open(dialog, { beside = true } = {}) {
  const before = opener();
  openers.set(dialog, before);
  dialog.addEventListener("click", (event) => {
    if (beside && event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    before()?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Closes all dialogs, for instance when the session has ended. */
export function closeAll() {
  const dialogs = /** @type {NodeListOf<HTMLDialogElement>} */ (
    document.querySelectorAll("dialog[open]")
  );
  for (const dialog of dialogs) dialog.close();
}
