// What every screen is made of.

import { find, refreshAll, to, useAccess } from "./api.js";
import { moment, readable, relative, whole, ZONE } from "./format.js";
import htm from "./htm.js";
import { h } from "./preact.js";
import { useEffect, useLayoutEffect, useRef, useState } from "./preact-hooks.js";

export const html = htm.bind(h);

// How long nothing is typed before the list is asked for, in milliseconds.
const TYPING = 250;
// How many are changed at once when many were selected.
const AT_ONCE = 4;
// Signs that are not seen, or that turn the order of others: a target may send any.
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it finds
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Text of a user or a target: as it is, its invisible signs by their numbers. */
export function Text({ of }) {
  const text = String(of);
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(HIDDEN)) {
    const name = `U+${found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    parts.push(text.slice(from, found.index), html`<span class="hidden-sign">${name}</span>`);
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  return html`<bdi>${parts}</bdi>`;
}

const SHAPES = {
  succeeded: html`<circle cx="8" cy="8" r="6.5" /><path d="M5 8.2l2.2 2.2L11 6" />`,
  failed: html`<path d="M8 1.2L14.8 8 8 14.8 1.2 8z" /><path d="M6 6l4 4M10 6l-4 4" />`,
  missed: html`<path d="M8 1.8l6.6 12H1.4z" /><path d="M8 6v4M8 11.6v.4" />`,
  overdue: html`<circle cx="8" cy="8" r="6.5" stroke-dasharray="3 2" /><path d="M8 4.5V8l2.4 1.6" />`,
  skipped: html`<path d="M2 4l5 4-5 4zM8 4l5 4-5 4zM14.2 4v8" />`,
  active: html`<circle cx="8" cy="8" r="6.5" /><circle class="full" cx="8" cy="8" r="2.6" />`,
  paused: html`<circle cx="8" cy="8" r="6.5" /><path d="M6.3 5.5v5M9.7 5.5v5" />`,
  waiting: html`<circle cx="8" cy="8" r="6.5" stroke-dasharray="2 2.1" />`,
  running: html`<circle cx="8" cy="8" r="6.5" /><path class="full" d="M8 1.5a6.5 6.5 0 010 13z" />`,
  retrying: html`<path d="M13.6 9.5A6 6 0 118 2c2 0 3.6.9 4.8 2.4M13.4 1.4v3.4H10" />`,
};
SHAPES.completed = SHAPES.succeeded;
SHAPES.queued = SHAPES.waiting;

/** A status by its shape and its word. */
export function Status({ of, word = of, bare = false }) {
  return html`<span class="status ${of}"
    ><svg viewBox="0 0 16 16" aria-hidden="true">${SHAPES[of] || SHAPES.waiting}</svg
    >${bare ? html`<span class="unseen">${word}</span>` : word}</span
  >`;
}

/** An instant in the viewer's zone; its title has the whole date. */
export function Time({ of, now, zone = ZONE }) {
  return html`<time dateTime=${of} title=${whole(of, zone)}>${moment(of, now, zone)}</time>`;
}

/** How far an instant is from now. */
export function Relative({ of, now }) {
  return html`<time dateTime=${of} title=${whole(of)}>${relative(of, now)}</time>`;
}

export const WHY_NOT =
  "This key may only read. To change anything, use a key with the scope write.";

/** A button that says why it cannot be used, to a key that may only read. */
export function Change({
  onClick,
  children,
  kind = "",
  title,
  label,
  type = "button",
  disabled = false,
}) {
  const reads = useAccess() === "read";
  const click = (event) => {
    if (reads || disabled) event.preventDefault();
    else onClick?.(event);
  };
  return html`<button
    type=${type}
    class=${kind}
    aria-disabled=${reads || disabled ? "true" : null}
    aria-label=${label}
    title=${reads ? WHY_NOT : title}
    onClick=${click}
  >
    ${children}
  </button>`;
}

/** A link that looks like a button, to a screen that changes something. */
export function ChangeLink({ href, children, kind = "", label = null }) {
  const reads = useAccess() === "read";
  return reads
    ? html`<a class="button ${kind}" role="link" aria-disabled="true" tabindex="0" aria-label=${label} title=${WHY_NOT}>${children}</a>`
    : html`<a class="button ${kind}" aria-label=${label} href=${href}>${children}</a>`;
}

/** A button that copies a text. */
export function Copy({ text, what, word = "Copy" }) {
  const [done, set] = useState("");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      set("Copied");
    } catch {
      set("Select it and copy");
    }
    setTimeout(() => set(""), 2000);
  }
  return html`<button type="button" class="quiet small" onClick=${copy} aria-label=${`${word}: ${what}`}>
    <span aria-live="polite">${done || word}</span>
  </button>`;
}

/** A text in a box of its own, that can be scrolled and copied. */
export function Block({ text, what, copy = true, kind = "" }) {
  return html`<div class="block ${kind}">
    <pre tabindex="0" role="region" aria-label=${what}><${Text} of=${text} /></pre>
    ${copy && html`<${Copy} text=${text} what=${what} />`}
  </div>`;
}

/** Headers as a table. */
export function Headers({ of }) {
  const entries = Object.entries(of);
  if (!entries.length) return null;
  return html`<dl class="headers">${entries.map(([name, value]) => html`<div><dt><${Text} of=${name} /></dt><dd><${Text} of=${value} /></dd></div>`)}</dl>`;
}

/** A question in front of everything else, until it is answered. */
export function Dialog({ title, children, onClose, label }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    ref.current?.showModal();
    return () => before?.focus?.();
  }, []);
  return html`<dialog
    ref=${ref}
    aria-label=${label || title}
    onCancel=${(event) => {
      event.preventDefault();
      onClose();
    }}
    onClick=${(event) => event.target === ref.current && onClose()}
  >
    <div class="dialog">
      <h2>${title}</h2>
      ${children}
    </div>
  </dialog>`;
}

/** Ask whether to do something that cannot be undone; `action` and `keep` are the buttons' words. */
export function Confirm({ title, action, keep = "Cancel", children, onClose, onConfirm }) {
  const [isUnderWay, set] = useState(false);
  const confirm = async () => {
    set(true);
    await onConfirm();
    set(false);
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${children}
    <p class="buttons">
      <button type="button" onClick=${onClose}>${keep}</button>
      <${Change} kind="danger" onClick=${confirm} disabled=${isUnderWay}>${action}<//>
    </p>
  <//>`;
}

/** Ask whether to delete jobs, or a notice; names what is deleted. */
export function ConfirmDelete({ jobs, what = "job", onClose, onConfirm }) {
  const isOne = jobs.length === 1;
  const title = isOne ? `Delete this ${what}?` : `Delete ${jobs.length} jobs?`;
  const action = isOne
    ? html`<span>Delete “<${Text} of=${jobs[0].name} />”</span>`
    : `Delete ${jobs.length} jobs`;
  return html`<${Confirm} title=${title} action=${action} onClose=${onClose} onConfirm=${onConfirm}>
    <ul class="named">
      ${jobs.slice(0, 10).map((job) => html`<li><${Text} of=${job.name} /></li>`)}
      ${jobs.length > 10 && html`<li>and ${jobs.length - 10} more</li>`}
    </ul>
    <p>
      ${isOne ? "Its runs disappear with it." : "Their runs disappear with them."} This cannot be
      undone.
    </p>
  <//>`;
}

/** What went wrong when the API was asked, and what to do. */
export function Failure({ error, stale = null, now = 0 }) {
  if (!error) return null;
  const since = stale ? ` What is shown is from ${moment(stale, now)}.` : "";
  return html`<p class="failure" role="alert"><${Status} of="failed" word="" /> ${readable(error.message)}${since}</p>`;
}

/** Bars in the place of what is being loaded. */
export function Loading({ rows = 4 }) {
  return html`<div class="loading" role="status" aria-label="Loading">
    ${Array.from({ length: rows }, () => html`<div class="bar"></div>`)}
  </div>`;
}

let isWanted = false;

/** Give the focus to the heading of the screen, and to the one that replaces it once it is loaded. */
export function focusHeading() {
  isWanted = true;
  find("main h1")?.focus({ preventScroll: true });
}

/** The heading of a screen: it takes the focus when the screen is new, and names the page. */
export function Heading({ title, children }) {
  useLayoutEffect(() => {
    document.title = `${title} · Resona`;
  }, [title]);
  useLayoutEffect(() => {
    if (isWanted && document.activeElement === document.body) focusHeading();
  }, []);
  return html`<h1 tabindex="-1">${children ?? title}</h1>`;
}

/** @type {(text: string) => void} */
let tell = () => undefined;

/** Say briefly what was done. */
export function say(text) {
  tell(text);
}

/** Return what changes something and says so, if it is running, and why it was refused last. */
export function useAct() {
  const [refused, setRefused] = useState(/** @type {any} */ (null));
  const [isUnderWay, setUnderWay] = useState(false);
  async function act(word, does) {
    setUnderWay(true);
    try {
      await does();
      setRefused(null);
      if (word) say(word);
      refreshAll();
    } catch (problem) {
      setRefused(problem);
    }
    setUnderWay(false);
  }
  return { act, refused, isUnderWay };
}

/** Where `say` speaks. */
export function Said() {
  const [text, set] = useState("");
  const timer = useRef(/** @type {number | undefined} */ (undefined));
  tell = (words) => {
    clearTimeout(timer.current);
    set(words);
    timer.current = setTimeout(() => set(""), 6000);
  };
  return html`<div class="said" role="status" aria-live="polite">${text && html`<p>${text}</p>`}</div>`;
}

/** Return a function that calls `act` a moment after it was called last. */
export function useLater(act) {
  const timer = useRef(/** @type {number | undefined} */ (undefined));
  useEffect(() => () => clearTimeout(timer.current), []);
  return (value) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => act(value), TYPING);
  };
}

/** The filters of a list. */
export function Filters({ children }) {
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>${children}</form>`;
}

/** A choice among `options`, which are pairs of a value and its words; `label` is only heard. */
export function Select({ label, value, options, onChange }) {
  return html`<label>
    <span class="unseen">${label}</span>
    <select value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${options.map(([option, words]) => html`<option value=${option}>${words}</option>`)}
    </select>
  </label>`;
}

/** Return what is typed into a filter, and what sets it; a link may give another `value`. */
export function useTyped(value) {
  const [text, set] = useState(value);
  useLayoutEffect(() => set(value), [value]);
  return /** @type {[string, (text: string) => void]} */ ([text, set]);
}

/** An input for key:value. */
export function LabelFilter({ value, onChange }) {
  const [text, set] = useTyped(value);
  const later = useLater(onChange);
  const isWhole = text === "" || text.indexOf(":") > 0;
  const type = (typed) => {
    set(typed);
    if (typed === "" || typed.indexOf(":") > 0) later(typed);
  };
  return html`<label>
      <span class="unseen">Label, as key:value</span>
      <input type="text" placeholder="Label key:value" value=${text} aria-invalid=${isWhole ? null : "true"}
        aria-describedby="label-error" onInput=${(event) => type(event.target.value)} />
    </label>
    <span class="error" id="label-error">${isWhole ? "" : "Give key:value."}</span>`;
}

/** Links to the first page and the next one; `of` is what the list has. */
export function Pages({ of, path, filters, next }) {
  if (!next && !filters.cursor) return null;
  return html`<nav class="pages" aria-label="Pages">
    ${filters.cursor && html`<a class="button" href=${to(path, { ...filters, cursor: "" })}>First page</a>`}
    ${next && html`<a class="button" href=${to(path, { ...filters, cursor: next })}>More ${of}</a>`}
  </nav>`;
}

/** A form that Ctrl Enter submits, too. */
export function EntryForm({ onSubmit, children }) {
  return html`<form class="form" noValidate onSubmit=${onSubmit} onKeyDown=${(event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onSubmit(event);
  }}>${children}</form>`;
}

/** Put the focus on the first field of a form that is wrong, once that is drawn. */
export function focusWrong() {
  setTimeout(() => find("form [aria-invalid=true]")?.focus());
}

/** Return what is selected of a list, by id, and what selects or deselects one. */
export function useSelection() {
  const [selected, select] = useState(new Map());
  const toggle = (one) =>
    select((before) => {
      const changed = new Map(before);
      if (!changed.delete(one.id)) changed.set(one.id, one);
      return changed;
    });
  return { selected, select, toggle };
}

/**
 * Do something to each of many, a few at once. Returns to how many it was done, and in words how many
 * were refused and why the first; null if none was.
 */
export async function forEach(many, act) {
  const rest = [...many];
  /** @type {string[]} */
  const failures = [];
  async function worker() {
    for (let one = rest.shift(); one; one = rest.shift()) {
      try {
        await act(one);
      } catch (problem) {
        failures.push(problem.message);
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return {
    done: many.length - failures.length,
    refused: failures.length ? `${failures.length} could not be: ${failures[0]}` : null,
  };
}
