// Calls of Resona's API, with the key of this tab.

import { parse } from "./format.js";

// The page is /console on a laptop and /api/console on a stage: the API is beside it.
const BASE = new URL("./", location.href);
const KEY = "resona.key";

/**
 * An answer that is none: what was refused and why. `status` 0: Resona did not answer. `newer` is
 * what somebody else made of it meanwhile.
 */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   * @param {FieldProblem[]} [errors]
   * @param {any} [newer]
   */
  constructor(status, detail, errors = [], newer = null) {
    super(detail);
    this.status = status;
    this.errors = errors;
    this.newer = newer;
  }
}

function session() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

/** What this tab may do: `open` (no key is asked for), `write`, `read`, or `none`. */
class Access {
  constructor() {
    this.access = this.key() ? "write" : "open";
    this.listeners = new Set();
  }

  key() {
    return session()?.getItem(KEY) || null;
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  become(access) {
    if (access === this.access) return;
    this.access = access;
    for (const listener of this.listeners) listener(access);
  }

  /** Take a key: raises Problem if it opens nothing. */
  async take(text) {
    await call("GET", "/jobs?limit=1", { key: text });
    session()?.setItem(KEY, text);
    await this.check();
  }

  /** Find out whether the key may write: a batch of no jobs needs the scope, and changes nothing. */
  async check() {
    if (!this.key()) return;
    try {
      await call("POST", "/jobs/batch", { body: '{"jobs":[]}' });
      this.become("write");
    } catch (problem) {
      if (problem.status === 403) this.become("read");
    }
  }

  forget() {
    session()?.removeItem(KEY);
    this.become("none");
  }
}

/** Return the problem that somebody else changed these fields while a form was open. */
export function changedMeanwhile(fields, newer) {
  const detail = `Nothing was saved: while this form was open, somebody else changed ${fields.join(", ")}.`;
  return new Problem(412, detail, [], newer);
}

export const keyring = new Access();

let offset = 0;

/** Return the time by Resona's clock, in milliseconds. */
export function now() {
  return Date.now() + offset;
}

function readClock(answer) {
  const told = Date.parse(answer.headers.get("Date") || "");
  // A header has whole seconds: what differs by less is no difference.
  if (told) offset = Math.abs(told - Date.now()) > 2000 ? told - Date.now() : 0;
}

function at(path) {
  return new URL(path.slice(1), BASE);
}

/** Return the URL of a path of the API, for commands to copy. */
export function url(path) {
  return at(path).href;
}

/**
 * Call the API. Returns its answer's data, the cursor of the next page and the ETag. Raises Problem.
 *
 * @param {string} method
 * @param {string} path
 * @param {{body?: string, key?: string | null, match?: string | null, signal?: AbortSignal}} [options]
 *   `match` is the ETag that what is changed must have
 * @returns {Promise<Answer<any>>}
 */
export async function call(method, path, { body, key = keyring.key(), match, signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (match) headers["If-Match"] = match;
  let answer;
  let text;
  try {
    answer = await fetch(at(path), {
      method,
      headers,
      signal,
      body,
      cache: "no-store",
      credentials: "omit",
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(
      0,
      "Resona does not answer. Is it running, and is there a network? The page asks again by itself.",
    );
  }
  readClock(answer);
  const data = read(text);
  if (!answer.ok) {
    if (answer.status === 401) keyring.become("none");
    const detail = data?.detail || `Resona answered ${answer.status}.`;
    throw new Problem(answer.status, detail, data?.errors);
  }
  return { data, next: cursor(answer.headers.get("Link")), tag: answer.headers.get("ETag") };
}

function read(text) {
  try {
    return text ? parse(text) : null;
  } catch {
    return null;
  }
}

function cursor(link) {
  const found = /<([^>]+)>;\s*rel="next"/.exec(link || "");
  return found ? new URL(found[1], BASE).searchParams.get("cursor") : null;
}

/** Return a path with a query; parameters without a value are left out. */
export function path(text, query) {
  const given = Object.entries(query).filter(([, value]) => value);
  return given.length ? `${text}?${new URLSearchParams(given)}` : text;
}

/**
 * @param {string} text
 * @param {AbortSignal} [signal]
 */
export function get(text, signal) {
  return call("GET", text, { signal });
}

/**
 * @param {string} text
 * @param {any} [body]
 */
export function post(text, body) {
  return call("POST", text, { body: body === undefined ? undefined : JSON.stringify(body) });
}
