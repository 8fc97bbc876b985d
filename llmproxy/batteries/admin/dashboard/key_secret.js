// A new key, shown once. It stands in no address, in no history and in no attribute of the page, and is
// gone when the dialog is closed.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { toast } from "./toast.js";

/** Shows a new key until its reader has said that it is kept.
 * @param {{title: string, secret: string, notes: string[]}} options */
export function showSecret({ title, secret, notes }) {
  const shown = h("input", {
    type: "text",
    readonly: true,
    class: "secret",
    "aria-label": "The key",
    autocomplete: "off",
    spellcheck: "false",
  });
  shown.value = secret;
  const copied = h("span", { role: "status", class: "soft" });
  const copy = h("button", { type: "button", class: "primary" }, "Copy");
  const done = h("button", { type: "submit" }, "I have stored it");
  const dialog = h(
    "dialog",
    {
      class: "question wide-form",
      "aria-labelledby": "secret-title",
      "aria-describedby": "secret-why",
    },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "secret-title" }, title),
      h(
        "p",
        { id: "secret-why", class: "warning" },
        h("strong", {}, "This key is shown only now."),
        " Store it in your secret manager. The proxy keeps a digest of it and cannot show it again.",
      ),
      h("div", { class: "secret-line" }, shown, copy),
      copied,
      ...notes.map((note) => h("p", { class: "soft" }, note)),
      h("div", { class: "buttons" }, done),
    ),
  );
  shown.addEventListener("focus", () => shown.select());
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(secret); // needs TLS or localhost
      copied.textContent = "Copied.";
    } catch {
      shown.select();
      copied.textContent =
        "This browser does not allow copying: the key is selected, press Ctrl+C.";
    }
  });
  // Escape would lose the key.
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    copied.textContent = "Store the key first: it cannot be shown again.";
  });
  const forget = () => dialog.close();
  window.addEventListener("pagehide", forget); // a page that is kept for "back" must not hold it
  dialog.addEventListener("close", () => {
    shown.value = "";
    window.removeEventListener("pagehide", forget);
    toast("The key is not shown any more.");
  });
  open(dialog, { beside: false });
  copy.focus();
}
