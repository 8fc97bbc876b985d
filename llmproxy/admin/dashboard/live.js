// The stream of events, and whether it is still one.
//
// The browser reconnects by itself after a broken connection, but not after a refusal (a session
// that has ended, a proxy in front that says 503): then it is asked why, and tried again.

const STALE_AFTER_MS = 4_000; // a state comes each second
const AGAIN_AFTER_MS = 2_000;

/** Opens the stream. `hear`: functions by the name of the event, and `connected(true|false)`;
 * `refused()` is asked when the stream was refused, and says whether to go on. Returns how to end it. */
export function listen(hear, refused) {
  let source = null;
  let timer = null;
  let heardAt = performance.now();
  let connected = null;
  let ended = false;

  const tell = (now) => {
    if (now !== connected) hear.connected((connected = now));
  };

  const open = () => {
    source = new EventSource("admin/events");
    for (const name of ["state", "calls", "point"]) {
      source.addEventListener(name, (event) => {
        heardAt = performance.now();
        tell(true);
        hear[name](JSON.parse(event.data));
      });
    }
    source.onerror = () => {
      tell(false);
      if (source.readyState === EventSource.CLOSED) again();
    };
  };

  const again = async () => {
    source.close();
    if (!(await refused()) || ended) return;
    clearTimeout(timer);
    timer = setTimeout(open, AGAIN_AFTER_MS);
  };

  // A connection that hangs is no error to the browser.
  const watch = setInterval(() => {
    if (performance.now() - heardAt < STALE_AFTER_MS) return;
    tell(false);
    if (source.readyState === EventSource.OPEN) {
      heardAt = performance.now();
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
