// What the screens share: the address, the time, the key, and questions that are asked again.

import { keyring, now } from "./api.js";
import { useEffect, useReducer, useRef, useState } from "./preact-hooks.js";

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

const askers = new Set();

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
