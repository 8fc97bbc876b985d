// The stream of events, and whether it is alive.
//
// The browser reconnects by itself after a broken connection, but not after an error status (the
// session has ended, or a proxy in front answers 503): then `refused` decides whether to retry.

import { addressOf } from "./api.js";

const STALE_AFTER_MS = 4_000; // a state comes each second
const AGAIN_AFTER_MS = 2_000;

/** Opens the stream, and returns a function that closes it.
 *
 * `handlers`: functions by the name of the event, and `connected(true|false)`. `refused()` is called
 * after an error status and returns whether to retry. */
export function listen(handlers, refused) {
  let source = null;
  let timer = null;
  let receivedAt = performance.now();
  let connected = null;
  let ended = false;

  const report = (now) => {
    if (now !== connected) handlers.connected((connected = now));
  };

  const open = () => {
    source = new EventSource(addressOf("admin/events"));
    for (const name of ["state", "calls", "point"]) {
      source.addEventListener(name, (event) => {
        receivedAt = performance.now();
        report(true);
        handlers[name](JSON.parse(event.data));
      });
    }
    source.onerror = () => {
      report(false);
      if (source.readyState === EventSource.CLOSED) again();
    };
  };

  const again = async () => {
    source.close();
    if (!(await refused()) || ended) return;
    clearTimeout(timer);
    timer = setTimeout(open, AGAIN_AFTER_MS);
  };

  // The browser does not report a connection that hangs.
  const watch = setInterval(() => {
    if (performance.now() - receivedAt < STALE_AFTER_MS) return;
    report(false);
    if (source.readyState === EventSource.OPEN) {
      receivedAt = performance.now();
      again();
    }
  }, 1_000);

  open();
  return () => {
    ended = true;
    source.close();
    clearTimeout(timer);
    clearInterval(watch);
  };
}
