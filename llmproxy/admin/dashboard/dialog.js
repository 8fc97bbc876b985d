// A question before something is done, and what came of it. Escape and Cancel leave all as it is.

import { h } from "./dom.js";

/** Asks with a title, a text, maybe a choice ({label, options: [[value, words]]}) and does it.
 *
 * `act(choice)` does it and returns lines that say what was done, or throws: the dialog then stays
 * and shows why. Where `keep` says so of the lines they are shown in the dialog, too. */
export function question({
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
      const lines = await act(select ? select.value : null);
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

/** Opens a dialog, and forgets it when it is closed; a click beside it closes it. */
export function open(dialog) {
  const before = document.activeElement;
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Closes whatever is open: who is signed out sees none of it. */
export function closeAll() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}
