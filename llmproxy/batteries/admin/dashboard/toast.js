// A short message about the result of an action.

import { byId, h } from "./dom.js";

const SHOWN_MS = 8_000;

export function toast(text, tone = "ok") {
  const line = h("p", { class: "toast", "data-tone": tone }, text);
  byId("toasts").replaceChildren(line);
  setTimeout(() => line.remove(), SHOWN_MS);
}
