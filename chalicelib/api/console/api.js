// Calls of Resona's API with the key of this tab, and what else the screens share: the address, the
// time, and questions that are asked again.

import { parse } from "./format.js";
import { useEffect, useReducer, useRef, useState } from "./preact-hooks.js";

// The page is /console on a laptop and /api/console on a stage: the API is beside it.
const BASE = new URL("./", location.href);
const KEY = "resona.key";
// What is asked again when something was changed.
const askers = new Set();

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

/** What this tab may do: `open` (no key is asked for), `write`, `read`, or `none`. */
class Access {
  constructor() {
    this.access = this.key() ? "write" : "open";
    this.listeners = new Set();
  }

  key() {
    return kept("sessionStorage", KEY) || null;
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
    keep("sessionStorage", KEY, text);
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
    keep("sessionStorage", KEY, null);
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
 * @param {{body?: string, type?: string, key?: string | null, match?: string | null, signal?: AbortSignal}} [options]
 *   `match` is the ETag that what is changed must have
 * @returns {Promise<Answer<any>>}
 */
export async function call(
  method,
  path,
  { body, type = "application/json", key = keyring.key(), match, signal } = {},
) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = type;
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

function store(kind) {
  try {
    return globalThis[kind];
  } catch {
    return null;
  }
}

/**
 * Return the first element within another that a selector names; null if there is none.
 *
 * @param {string} selector
 * @param {ParentNode} [within]
 * @returns {HTMLElement | null}
 */
export function find(selector, within = document) {
  return within.querySelector(selector);
}

/** Read a text that the browser keeps; null if there is none. */
export function kept(kind, name) {
  return store(kind)?.getItem(name) ?? null;
}

/** Keep a text, or forget it if it is null. */
export function keep(kind, name, text) {
  if (text === null) store(kind)?.removeItem(name);
  else store(kind)?.setItem(name, text);
}

/** Return the path and the query of the address: #/jobs?status=paused. */
export function address() {
  const [path, query] = location.hash.replace(/^#/, "").split("?", 2);
  return { path: path || "/", query: new URLSearchParams(query || "") };
}

/** Return the values of some parameters of a query; empty for those that it has not. */
export function filtersOf(query, names) {
  return Object.fromEntries(names.map((name) => [name, query.get(name) || ""]));
}

/** Return an address with its query; parameters without a value are left out. */
export function to(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  return `#${path}${text ? `?${text}` : ""}`;
}

/** Change the address without a step in the history. */
export function replace(href) {
  history.replaceState(null, "", href);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Return the address, and draw anew when it changes. */
export function useAddress() {
  const [, step] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    const draw = () => step(undefined);
    addEventListener("hashchange", draw);
    draw();
    return () => removeEventListener("hashchange", draw);
  }, []);
  return address();
}

/** Return the time by Resona's clock, in milliseconds, every second. */
export function useNow() {
  const [at, set] = useState(now());
  useEffect(() => {
    const timer = setInterval(() => set(now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return at;
}

/** Have every question of the screen asked again, since something was changed. */
export function refreshAll() {
  for (const ask of askers) ask();
}

/**
 * @template Data
 * @typedef {{key: string | null, data: Data | null, error: any, at: number | null}} Asked
 */

/** @type {Asked<any>} */
const NOTHING = { key: null, data: null, error: null, at: null };

const LAPTOP = /^(localhost|127\.|\[::1\])/.test(location.hostname);
/** How often to ask, in milliseconds. */
export const EVERY = LAPTOP ? 2000 : 10_000;
/** How often to ask for what reads much, in milliseconds. */
export const SELDOM = LAPTOP ? 5000 : 60_000;
/** How often to ask for what reads very much, in milliseconds. */
export const RARELY = LAPTOP ? 10_000 : 600_000;

/**
 * Ask the API, again every few seconds while the page is seen, and when something was changed.
 *
 * `ask(signal)` returns a promise; `key` names the question: when it changes the answer is dropped.
 * An error leaves the last answer in place.
 *
 * @template Data
 * @param {string} key
 * @param {(signal: AbortSignal) => Promise<Data>} ask
 * @param {{once?: boolean, every?: number | ((answer: Data | null) => number)}} [options] after how
 *   many milliseconds it is asked again; a function gets the last answer
 */
export function useAnswer(key, ask, { once = false, every = EVERY } = {}) {
  const [state, set] = useState(/** @type {Asked<Data>} */ (NOTHING));
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    const abort = new AbortController();
    /** @type {number | undefined} */
    let timer;
    let under = false;
    let again = false;
    /** @type {Data | null} */
    let answer = null;
    async function run() {
      clearTimeout(timer);
      if (under) {
        again = true;
        return;
      }
      under = true;
      const began = performance.now();
      try {
        const data = await latest.current(abort.signal);
        answer = data;
        if (!abort.signal.aborted) set({ key, data, error: null, at: now() });
      } catch (error) {
        if (!abort.signal.aborted) {
          set((old) => ({ key, data: old.key === key ? old.data : null, error, at: old.at }));
        }
      }
      under = false;
      if (abort.signal.aborted) return;
      if (again) {
        again = false;
        run();
      } else if (!once) {
        const wanted = typeof every === "function" ? every(answer) : every;
        timer = setTimeout(tick, Math.max(wanted, 10 * (performance.now() - began)));
      }
    }
    function tick() {
      if (document.hidden) timer = setTimeout(tick, EVERY);
      else run();
    }
    function seen() {
      if (!document.hidden && !once) run();
    }
    askers.add(run);
    document.addEventListener("visibilitychange", seen);
    run();
    return () => {
      abort.abort();
      clearTimeout(timer);
      askers.delete(run);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key]);
  const current = state.key === key ? state : NOTHING;
  return { ...current, isLoading: current.data === null && current.error === null };
}

/** Return what the key may do, and draw anew when that changes. */
export function useAccess() {
  const [access, set] = useState(keyring.access);
  useEffect(() => {
    // It may have changed since it was drawn, before anybody listened.
    set(keyring.access);
    return keyring.listen(set);
  }, []);
  return access;
}
