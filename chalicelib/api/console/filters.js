// What the lists of jobs and of runs share: a filter by label, and pages.

import { useEffect, useRef, useState } from "./preact-hooks.js";
import { to } from "./state.js";
import { html } from "./ui.js";

// How long nothing is typed before the list is asked for, in milliseconds.
const TYPING = 250;

/** Return a function that calls `act` a moment after it was called last. */
export function useLater(act) {
  const timer = useRef(/** @type {number | undefined} */ (undefined));
  useEffect(() => () => clearTimeout(timer.current), []);
  return (value) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => act(value), TYPING);
  };
}

/** An input for key:value. */
export function LabelFilter({ value, onChange }) {
  const [text, set] = useState(value);
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
