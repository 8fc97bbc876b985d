// Asking the proxy. Paths are relative to /dashboard, so a prefix in front of both does no harm.

/** What the proxy answered instead of what was asked for; status 0: it did not answer. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let whenSignedOut = () => {};

/** What happens when any answer says that nobody is signed in (any longer). */
export function onSignedOut(happens) {
  whenSignedOut = happens;
}

export const get = (path) => ask("GET", path);
export const post = (path, body) => ask("POST", path, body);
export const remove = (path) => ask("DELETE", path);

/** Signs in. Throws Refused, as the others do, but a wrong key is no expired session. */
export const login = (key) => ask("POST", "admin/login", { key }, { signedOut: false });

async function ask(method, path, body, { signedOut = true } = {}) {
  const answer = await send(method, path, body);
  if (answer.status === 401 && signedOut) whenSignedOut();
  if (!answer.ok) throw new Refused(answer.status, await detailOf(answer));
  return answer.status === 204 ? null : await answer.json();
}

async function send(method, path, body) {
  try {
    return await fetch(path, {
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
