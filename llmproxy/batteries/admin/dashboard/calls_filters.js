// Which calls the page Calls looks for: all of it stands in the address.

import { addressOf } from "./api.js";
import { h } from "./dom.js";
import { onlyFilters, periodSwitch } from "./filters.js";

const NAMES = ["id", "caller", "team", "key", "group", "endpoint", "model", "code", "status", "until"];
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
  const names = [...NAMES, "since", "notable"];
  return new URLSearchParams(
    names.map((name) => [name, address.read(name)]).filter(([, value]) => value),
  );
}

/** Makes the controls; `follow()` draws them as the address says.
 * @param {Address} address */
export function callFilters(address) {
  const period = periodSwitch(PERIODS, (since) => address.go({ since }));
  const kinds = NAMES.map((name) => [name, name]);
  const only = onlyFilters(address, kinds, "exact, or 5xx");
  const notable = h("input", { type: "checkbox", id: "only-notable" });
  notable.addEventListener("change", () => address.go({ notable: notable.checked ? "true" : "" }));
  const csv = h("a", { class: "button", download: "calls.csv" }, "Export CSV");
  const json = h("a", { class: "button", download: "calls.json" }, "JSON");
  return {
    element: h(
      "div",
      {},
      h("div", { class: "bar" }, h("h2", {}, "Calls"), period.element, csv, json),
      h(
        "div",
        { class: "bar filters" },
        only.form,
        h("label", { class: "check" }, notable, " Errors and retries only"),
        only.chips,
      ),
    ),
    follow() {
      const query = queryOf(address);
      period.follow(address.read("since"));
      only.follow();
      notable.checked = query.has("notable");
      csv.href = `${addressOf("admin/calls.csv")}?${query}`;
      json.href = `${addressOf("admin/calls")}?${new URLSearchParams([...query, ["limit", "1000"]])}`;
    },
  };
}
