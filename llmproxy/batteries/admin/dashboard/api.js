// Requests to the admin API. Its paths are relative to the proxy's, which may be behind a path prefix.

/** The address of the proxy, found beside this file. */
const ROOT = new URL("..", import.meta.url);

/** Returns the address of a path of the proxy, such as admin/state. */
export const addressOf = (path) => new URL(path, ROOT).href;

/** An error response of the proxy; status 0: it did not answer. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let whenSignedOut = () => {};

/** Sets what happens when a response says that the session has ended. */
export function onSignedOut(callback) {
  whenSignedOut = callback;
}

export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body);
export const patch = (path, body) => request("PATCH", path, body);
export const remove = (path) => request("DELETE", path);

/** Signs in. Throws Refused like the others, but a wrong key does not count as an ended session. */
export const login = (key) => request("POST", "admin/login", { key }, { signedOut: false });

async function request(method, path, body, { signedOut = true } = {}) {
  const answer = await send(method, path, body);
  if (answer.status === 401 && signedOut) whenSignedOut();
  if (!answer.ok) throw new Refused(answer.status, await detailOf(answer));
  return answer.status === 204 ? null : await answer.json();
}

async function send(method, path, body) {
  try {
    return await fetch(addressOf(path), {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin",
    });
  } catch {
    throw new Refused(0, "The proxy does not answer.");
  }
}

async function detailOf(answer) {
  const words = `The proxy answered ${answer.status}.`;
  try {
    const { detail } = await answer.json();
    return typeof detail === "string" ? detail : detail ? JSON.stringify(detail) : words;
  } catch {
    return words;
  }
}
