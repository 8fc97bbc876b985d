// A bar that shows what is left of a limit.

import { h, setAttribute, setText } from "./dom.js";
import { count } from "./format.js";

const LOW = 0.15;

/** Makes a bar; `update(null)` hides it, because no limit is known. `per`: "/min", or "". */
export function levelBar(what, per) {
  const fill = h("span", { class: "fill" });
  const meter = h(
    "span",
    { class: "meter", role: "meter", "aria-valuemin": 0, "aria-label": `${what} left` },
    fill,
  );
  const left = h("span", { class: "amount" });
  const limit = h("span", { class: "soft" });
  const element = h(
    "span",
    { class: "level" },
    h("span", { class: "soft what" }, what),
    meter,
    h("span", { class: "of" }, left, limit),
  );
  return {
    element,
    /** @param {LimitView | null} level */
    update(level) {
      element.hidden = level === null;
      if (level === null) return;
      const share = level.limit > 0 ? Math.min(1, Math.max(0, level.left / level.limit)) : 0;
      const whole = Math.max(0, Math.floor(level.left));
      fill.style.transform = `scaleX(${share})`;
      element.dataset.low = share < LOW;
      setAttribute(meter, "aria-valuemax", level.limit);
      setAttribute(meter, "aria-valuenow", Math.min(whole, level.limit));
      setAttribute(meter, "aria-valuetext", `${whole} of ${level.limit}${per}`);
      setText(left, count(whole));
      setText(limit, ` of ${count(level.limit)}${per}`);
    },
  };
}
