// One model group as a row of the overview: its sums, and whether its endpoints are shown below it.

import { h, setAttribute, setText } from "./dom.js";
import { drawSpend } from "./endpoint_row.js";
import { count, millis, percent, plural, rate } from "./format.js";
import { isUnavailable, stateOf } from "./words.js";

/** Makes a row; `toggle(open)` is called when the reader opens or closes the group.
 * `spend`: a link to what the group has cost. */
export function groupRow(name, spend, toggle) {
  const chip = h("span", { class: "chip" });
  const button = h(
    "button",
    { type: "button", class: "fold" },
    h("span", { class: "arrow", "aria-hidden": "true" }),
    h("span", { dir: "auto" }, name),
  );
  const parts = { inFlight: h("span"), p50: h("span"), errors: h("span") };
  const cost = { spend, sure: h("span", { class: "below soft" }) };
  const members = h("span", { class: "soft" });
  const waiting = h("span", { class: "waiting" });
  const cell = (column, kind, ...children) =>
    h("td", { role: "cell", class: kind, "data-name": column }, ...children);
  const element = h(
    "tr",
    { class: "group", role: "row" },
    h("th", { scope: "row", role: "rowheader", class: "name", colspan: 2 }, h("h3", {}, button), chip),
    cell("In flight", "number", parts.inFlight),
    cell("First byte", "number", parts.p50),
    cell("Errors", "number", parts.errors),
    cell("Spend/min", "number", cost.spend, cost.sure),
    h("td", { role: "cell", class: "members", colspan: 2, "data-name": "Calls" }, members, waiting),
  );
  let isOpen = false;
  button.addEventListener("click", () => toggle(!isOpen));
  return {
    element,
    /** @param {GroupView} group */
    update(group, open) {
      isOpen = open;
      setAttribute(button, "aria-expanded", open);
      const slow = group.endpoints.some((endpoint) => stateOf(endpoint) === "slow");
      chip.dataset.tone = group.status === "down" ? "bad" : group.status === "ok" && !slow ? "ok" : "warn";
      setText(chip, group.status === "ok" && slow ? "slow" : group.status);
      const { recent } = group;
      setText(parts.inFlight, count(group.in_flight));
      setText(parts.p50, millis(recent.first_byte_p50_ms));
      setText(parts.errors, recent.calls ? percent(recent.error_rate) : "–");
      parts.errors.dataset.tone = recent.error_rate >= 0.05 ? "bad" : "";
      drawSpend(cost, recent);
      setText(members, membersOf(group));
      setText(waiting, group.waiting ? `${count(group.waiting)} waiting for capacity` : "");
    },
  };
}

/** @param {GroupView} group */
function membersOf(group) {
  const all = group.endpoints.length;
  const out = group.endpoints.filter(isUnavailable).length;
  const members = out ? `${all - out} of ${plural(all, "endpoint")} available` : plural(all, "endpoint");
  return `${rate(group.recent.calls_per_s)} calls/s · ${members}`;
}
