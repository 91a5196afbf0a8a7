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
  const [, draw] = useReducer((count) => count + 1, 0);
  useEffect(() => {
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

const LAPTOP = /^(localhost|127\.|\[::1\])/.test(location.hostname);
const EVERY = LAPTOP ? 2000 : 10_000;

/**
 * Ask the API, again every few seconds while the page is seen, and when something was changed.
 *
 * `ask(signal)` returns a promise; `key` names the question: when it changes the answer is dropped.
 * An error leaves the last answer in place.
 */
export function useAnswer(key, ask, { once = false } = {}) {
  const [state, set] = useState({ key: null, data: null, error: null, at: null });
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    const abort = new AbortController();
    let timer = null;
    let under = false;
    let again = false;
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
        timer = setTimeout(tick, Math.max(EVERY, 10 * (performance.now() - began)));
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
  const current = state.key === key ? state : { data: null, error: null, at: null };
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
