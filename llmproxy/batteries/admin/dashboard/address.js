// The addresses of the dashboard's pages. What a page shows stands in its query, so that a link shows it.

import { addressOf } from "./api.js";
import { h } from "./dom.js";

const FOLDER = new URL(addressOf("dashboard/")).pathname;

/** Returns the name of the page that is open; "": the overview. */
export const pageName = () =>
  location.pathname.startsWith(FOLDER) ? location.pathname.slice(FOLDER.length) : "";

/** Makes the address of the open page. `follow()` is called whenever it has changed. `go(changes)` leaves
 * the page before in the browser's history, unless it `replace`s it.
 * @param {() => void} follow
 * @returns {Address} */
export function pageAddress(follow) {
  const go = (changes, { replace = false } = {}) => {
    const href = hrefOf(changes);
    if (href === location.href) return;
    if (replace) history.replaceState(null, "", href);
    else history.pushState(null, "", href);
    follow();
  };
  window.onpopstate = () => follow(); // one page is open
  return {
    go,
    read: (name) => new URLSearchParams(location.search).get(name) ?? "",
    link(changes, words, page) {
      const link = h("a", { href: hrefOf(changes, page) }, words);
      link.addEventListener("click", (event) => {
        const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || page;
        if (elsewhere) return; // the browser opens it
        event.preventDefault();
        go(changes);
      });
      return link;
    },
  };
}

/** Changes the query of the open page, or opens another page with it; "" takes a name out. */
function hrefOf(changes, page) {
  const address = new URL(page ? addressOf(`dashboard/${page}`) : location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  return address.href;
}
