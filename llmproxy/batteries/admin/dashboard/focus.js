// The focus stays where it is while a part of the page is drawn anew: who works with the keyboard
// must not lose the place, nor press a key into nothing.

/** Replaces what stands in a place; what has the focus there keeps it.
 * @param {HTMLElement} place
 * @param {(Node | string)[]} content */
export function redraw(place, ...content) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const again = place.contains(focused) && findAgain(focused);
  place.replaceChildren(...content);
  if (again) again()?.focus({ preventScroll: true });
}

/** Returns a function that finds an element, or what stands for it since it was drawn anew: what has
 * the same words, in the row (`data-id`) of the same thing.
 * @param {HTMLElement | null} element
 * @returns {() => HTMLElement | undefined} */
export function findAgain(element) {
  if (!element || element === document.body) return () => undefined;
  const known = nameOf(element);
  return () => {
    if (element.isConnected) return element;
    const found = /** @type {NodeListOf<HTMLElement>} */ (
      document.querySelectorAll(element.tagName)
    );
    return [...found].find((other) => nameOf(other) === known);
  };
}

/** Focuses the first new row after "Show more": the button has moved down or gone.
 * @param {HTMLElement} place of the table
 * @param {number} index */
export function focusRow(place, index) {
  place.querySelectorAll("tbody tr")[index]?.querySelector("a")?.focus();
}

/** @param {HTMLElement} element */
function nameOf(element) {
  const row = /** @type {HTMLElement | null} */ (element.closest("[data-id]"));
  return JSON.stringify([row?.dataset.id, element.ariaLabel || element.textContent]);
}
