// What the spend is shown by, of which period, and of whom: all of it stands in the address.

import { addressOf } from "./api.js";
import { h } from "./dom.js";
import { onlyFilters, periodSwitch } from "./filters.js";
import { DIMENSIONS, FILTERS, PERIODS, queryOf, requestOf } from "./spend_query.js";

/** Makes the controls; `follow()` draws them as the address says.
 * @param {Address} address */
export function spendFilters(address) {
  const options = DIMENSIONS.map(([value, words]) => h("option", { value }, words));
  const first = h("select", { "aria-label": "By" }, ...options);
  const second = h(
    "select",
    { "aria-label": "Then by" },
    h("option", { value: "" }, "nothing else"),
    ...options.map((one) => one.cloneNode(true)),
  );
  const period = periodSwitch(PERIODS, (since) => address.go({ since, until: "" }));
  const only = onlyFilters(address, FILTERS, "exact name");
  const csv = h("a", { class: "button", download: "spend.csv" }, "Export CSV");

  const by = () =>
    [first.value, second.value].filter((name, index, all) => name && all.indexOf(name) === index);
  for (const select of [first, second])
    select.addEventListener("change", () => address.go({ by: by().join(",") }));
  return {
    element: h(
      "div",
      { class: "spend-controls" },
      h("div", { class: "bar" }, h("h2", {}, "Spend"), period.element, csv),
      h(
        "div",
        { class: "bar filters" },
        h("span", { class: "pick" }, "By ", first),
        h("span", { class: "pick" }, "then ", second),
        only.form,
        only.chips,
      ),
    ),
    follow() {
      const query = queryOf(address);
      [first.value, second.value] = [query.by[0], query.by[1] ?? ""];
      period.follow(query.until ? null : query.since);
      only.follow();
      csv.href = `${addressOf("admin/spend.csv")}?${requestOf(query, query.by)}`;
    },
  };
}
