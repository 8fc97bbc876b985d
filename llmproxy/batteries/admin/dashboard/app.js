// The entry point: checks the session, shows the board, and passes events to its parts.

import { purge, reload } from "./actions.js";
import { pageAddress, pageName } from "./address.js";
import { addressOf, get, login, onSignedOut, post } from "./api.js";
import { themeSwitch } from "./appearance.js";
import { callsList } from "./calls.js";
import { callsPage } from "./calls_page.js";
import { charts } from "./charts.js";
import { closeAll } from "./dialog.js";
import { byId, h, inputById, setText } from "./dom.js";
import { endpointGroups } from "./endpoints.js";
import { stats } from "./stats.js";
import { clock, duration } from "./format.js";
import { listen } from "./live.js";
import { keysPage } from "./keys_page.js";
import { spendPage } from "./spend_page.js";
import { statusLine } from "./status.js";
import { teamPage } from "./team_page.js";
import { toast } from "./toast.js";
import { traces } from "./trace.js";

const AGAIN_AFTER_MS = 2_000;
const PAGES = {
  calls: ["Calls", callsPage],
  keys: ["Keys", keysPage],
  spend: ["Spend", spendPage],
};

let state = null; // the latest one
let stateAt = 0; // when it arrived, in seconds of performance.now()
let connected = true;
let end = null; // closes the stream of events; null: it is not open
let session = { protected: false, signed_in: false, sign_in: false };

const groupNames = () => state?.groups.map((group) => group.group) ?? [];
const overview = pageAddress(() => {
  endpoints.follow();
  board.follow();
});
const endpoints = endpointGroups(overview);
const status = statusLine(endpoints.reveal);
const drawStats = stats();
const board = charts(overview);
const calls = callsList();
const followTrace = traces();

async function begin() {
  try {
    session = await get("admin/session");
  } catch (refused) {
    if (refused.status) return refuse(refused.message);
    showLost(true);
    setTimeout(begin, AGAIN_AFTER_MS);
    return;
  }
  if (!session.signed_in) askForKey();
  else await open();
}

async function open() {
  byId("gate").hidden = true;
  byId("pages").hidden = false;
  byId("logout").hidden = !session.protected;
  if (pageName() in PAGES) return openPage(pageName(), ...PAGES[pageName()]);
  const me = await get("admin/me").catch(() => null); // what follows says what is wrong
  if (me?.role === "team")
    openPage("team", `Team ${me.team}`, (place, address) => teamPage(place, address, followTrace, me));
  else openBoard();
}

/** Opens a page other than the overview. It reads itself anew now and then, not each second. */
function openPage(name, title, make) {
  const place = h("section", { id: name });
  byId("page").replaceChildren(place);
  byId("page").hidden = false;
  document.title = `${title} · LLMProxy`;
  const page = make(place, pageAddress(() => page.follow()), followTrace);
}

function askForKey() {
  close();
  byId("gate").hidden = false;
  byId("login").hidden = false;
  byId("refused").hidden = true;
  byId("sign-in").hidden = !session.sign_in;
  byId("key").focus();
}

function refuse(why) {
  close();
  byId("gate").hidden = false;
  byId("login").hidden = true;
  byId("refused").hidden = false;
  setText(byId("refused-why"), why);
}

function close() {
  end?.();
  end = null;
  closeAll();
  for (const id of ["board", "page", "pages", "link", "purge", "reload", "logout"]) byId(id).hidden = true;
}

function openBoard() {
  if (end) return;
  endpoints.follow();
  board.follow();
  end = listen(
    { state: onState, calls: onCalls, point: board.point, connected: showLink },
    checkAccess,
  );
}

function onState(now) {
  [state, stateAt] = [now, performance.now() / 1000];
  setText(byId("version"), now.version);
  board.groups(groupNames());
  status.update(now);
  drawStats(now);
  endpoints.update(now);
  byId("purge").hidden = now.cache === null;
  byId("reload").hidden = now.config.source === null;
  if (!byId("board").hidden) return;
  byId("board").hidden = false;
  followTrace();
}

function onCalls(event) {
  calls.add(event.calls);
}

function showLink(now) {
  connected = now;
  showLost(!now);
  if (!now) return;
  // Loads what the stream did not bring: everything at first, the gap after a reconnection.
  board.open();
  calls.open();
}

function showLost(lost) {
  byId("link").hidden = false;
  byId("link").dataset.tone = lost ? "bad" : "ok";
  byId("board").dataset.stale = lost;
  setText(
    byId("link-word"),
    !lost ? "Live" : state ? "Connection lost." : "The proxy does not answer.",
  );
  tickLost(lost);
}

function tickLost(lost) {
  const since = performance.now() / 1000 - stateAt;
  const stale = state
    ? `Showing data from ${clock(state.now)}, ${duration(since)} ago. `
    : "";
  setText(byId("link-since"), lost ? `${stale}Reconnecting …` : "");
}

/** After the stream was refused: shows the login form if the session ended. Returns whether to retry. */
async function checkAccess() {
  try {
    session = await get("admin/session");
    if (!session.signed_in) {
      askForKey();
      return false;
    }
    await get("admin/state");
  } catch (refused) {
    if (refused.status === 403) refuse(refused.message);
    return refused.status !== 401 && refused.status !== 403;
  }
  return true;
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const error = byId("login-error");
  error.textContent = "";
  try {
    await login(inputById("key").value);
  } catch (refused) {
    error.textContent = refused.message;
    byId("key").setAttribute("aria-invalid", "true");
    inputById("key").select();
    return;
  }
  inputById("key").value = "";
  byId("key").removeAttribute("aria-invalid");
  session.signed_in = true;
  open();
});
byId("sign-in").addEventListener("click", () => {
  const page = location.href.slice(addressOf("").length).replace(/#.*/, "");
  location.href = addressOf(`admin/sign_in?next=${encodeURIComponent(page)}`);
});
byId("logout").addEventListener("click", async () => {
  try {
    await post("admin/logout");
    session.signed_in = false;
    askForKey();
  } catch (refused) {
    toast(refused.message, "bad");
  }
});
byId("purge").addEventListener("click", () => purge(groupNames()));
byId("reload").addEventListener("click", () => reload(state.config.source));
onSignedOut(() => {
  session = { ...session, protected: true, signed_in: false };
  askForKey();
});
themeSwitch(byId("theme"));
for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("#pages a")))
  if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
setInterval(() => {
  if (!state || !end) return;
  if (!connected) return tickLost(true);
  const now = performance.now() / 1000;
  status.tick(now);
  endpoints.tick(now);
}, 250);
begin();
