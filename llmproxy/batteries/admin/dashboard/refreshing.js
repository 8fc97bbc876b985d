// Pages that read themselves anew, except while somebody would lose the place.

/** Calls `load` again and again: not while the page is hidden, a dialog is open, something is being
 * typed or chosen, or `inUse()`.
 * @param {HTMLElement} place of the page
 * @param {number} everyMs
 * @param {() => void} load
 * @param {() => boolean} [inUse] */
export function refresh(place, everyMs, load, inUse = () => false) {
  const timer = setInterval(() => {
    if (!place.isConnected) return clearInterval(timer);
    const busy =
      document.hidden ||
      place.closest("[hidden]") !== null ||
      document.querySelector("dialog[open]") !== null ||
      document.activeElement?.matches("select, textarea, input:not([type='radio'])") ||
      inUse();
    if (!busy) load();
  }, everyMs);
}
