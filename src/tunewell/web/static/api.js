// Questions to the server. Every answer is JSON; an error carries what is wrong and what to do.

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(message, fix, status) {
    super(message);
    this.fix = fix;
    this.status = status;
  }
}

async function ask(url, options) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("the server does not answer", "see whether tunewell watch still runs; training goes on without it", 0);
  }
  const isJson = (answer.headers.get("content-type") ?? "").includes("json");
  const body = isJson ? await answer.json() : null;
  if (answer.ok && isJson) return body;
  if (answer.status === 401) {
    throw new Refused("this browser is not let in any more", "open the link that tunewell watch prints", 401);
  }
  throw new Refused(body?.error ?? `the server answered with status ${answer.status}`, body?.fix ?? "", answer.status);
}

function withQuery(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** GET `path` under /api with a query of the entries that are set. */
export const get = (path, query, signal) => ask(withQuery(`/api${path}`, query), { signal });

/** Ask something of a run: {action}, {answer}, {undo} or {label}. */
export async function request(run, wish) {
  const body = JSON.stringify({ id: newId(), ...wish });
  return ask(`/api/runs/${encodeURIComponent(run)}/requests`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Tunewell": "1" },
    body,
  });
}

/** An id that no other request has. randomUUID is only there over https and on localhost. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
