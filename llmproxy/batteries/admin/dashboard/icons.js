// The icons of states. Each has its own shape, so that nothing depends on colour alone.

import { s } from "./dom.js";

const CIRCLE = "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Z";
const SHAPES = {
  ok: [CIRCLE, "M5 8.2 7.2 10.4 11 6"],
  slow: [CIRCLE, "M8 8 11 5.2M4.6 9.6a3.6 3.6 0 0 1 6.6-2.8"],
  full: ["M2.5 2.5h11v11h-11Z", "M5 8h6"],
  cooling: [CIRCLE, "M8 4.6V8l2.4 1.6"],
  open: [CIRCLE, "M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"],
  "half-open": [CIRCLE, "M8 4.6a3.4 3.4 0 0 1 0 6.8Z"],
  misconfigured: ["M8 1.6 15 14H1Z", "M8 6.2v3.4M8 11.7v.2"],
  skipped: [CIRCLE, "M5.6 5.6 8 8l-2.4 2.4M8.6 5.6 11 8l-2.4 2.4"],
  moved: [CIRCLE, "M4.8 8h6M8.6 5.6 11 8l-2.4 2.4"],
  drained: [CIRCLE, "M6.4 5.4v5.2M9.6 5.4v5.2"],
};

/** Makes an icon of 16 px, hidden from screen readers: its word is beside it. */
export function icon(name) {
  const [body, mark] = SHAPES[name] ?? SHAPES.open;
  return s(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    s("path", { class: "body", d: body }),
    s("path", { class: "mark", d: mark }),
  );
}
