// A list that the proxy searches and pages: "Show more" adds the next page.

import { get } from "./api.js";
import { h, setText } from "./dom.js";
import { focusRow, redraw } from "./focus.js";
import { count } from "./format.js";

/** Fills `place` with the list. `load()` reads its first page; `isLong()`: further ones are shown, too.
 *
 * `rowsOf`: takes the rows out of an answer; `tableOf` draws them, `nothing` what stands there without
 * any, `trouble` why they cannot be read.
 * @template Row
 * @param {HTMLElement} place
 * @param {object} options
 * @param {string} options.path of the API
 * @param {() => Record<string, string>} options.query
 * @param {(answer: any) => Row[] | Promise<Row[]>} options.rowsOf
 * @param {(rows: Row[]) => HTMLElement} options.tableOf
 * @param {() => HTMLElement} options.nothing
 * @param {(refused: {status: number, message: string}) => HTMLElement} options.trouble
 * @param {(total: number) => string} options.word for so many rows */
export function pagedList(place, { path, query, rowsOf, tableOf, nothing, trouble, word }) {
  const note = h("p", { class: "soft", role: "status" });
  const found = h("div");
  const more = h("button", { type: "button", hidden: true }, "Show more");
  place.replaceChildren(found, h("div", { class: "foot" }, note, more));
  /** @type {Row[]} */
  let rows = [];
  let next = /** @type {string | null} */ (null);
  let pages = 0;
  let asked = 0;

  const draw = (total) => {
    redraw(found, rows.length ? tableOf(rows) : nothing());
    more.hidden = next === null;
    setText(note, rows.length ? `${count(rows.length)} of ${count(total)} ${word(total)}` : "");
  };
  const load = async (cursor = "") => {
    const mine = (asked += 1);
    const wanted = Object.entries({ ...query(), cursor }).filter(([, value]) => value);
    try {
      const answer = await get(`${path}?${new URLSearchParams(wanted)}`);
      const page = await rowsOf(answer);
      if (mine !== asked) return;
      [rows, next] = [cursor ? [...rows, ...page] : page, answer.next];
      pages = cursor ? pages + 1 : 1;
      draw(answer.total);
    } catch (refused) {
      if (mine !== asked) return;
      redraw(found, trouble(refused));
      more.hidden = true;
      setText(note, "");
    }
  };
  more.addEventListener("click", async () => {
    const from = rows.length;
    await load(next ?? "");
    focusRow(found, from);
  });
  return { load: () => load(), rows: () => rows, isLong: () => pages > 1 };
}
