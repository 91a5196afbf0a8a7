// The time axis: a column for each hour, what ended on the left of now and what comes due on the right.

import { OUTCOMES, words } from "./columns.js";
import { moment } from "./format.js";
import { useState } from "./preact-hooks.js";
import { find, to } from "./state.js";
import { html } from "./ui.js";

// The least height that can be seen, in per cent: what went wrong is never too small.
const LEAST = { failed: 5, missed: 5, skipped: 2, succeeded: 2, due: 2 };
const PARTS = [...OUTCOMES, "due"];

/** Draw columns, as `columns` makes them. Arrow keys go from one to the next. */
export function Axis({ columns, now, label }) {
  const middle = columns.length / 2;
  const [chosen, choose] = useState(middle - 1);
  const highest = Math.max(1, ...columns.map(sum));
  const step = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = chosen + (by ?? 0);
    if (!by || next < 0 || next >= columns.length) return;
    event.preventDefault();
    choose(next);
    find(`[data-column="${next}"]`, event.currentTarget)?.focus();
  };
  return html`<figure class="axis">
    <figcaption class="unseen">${label} Arrow keys go through the columns.</figcaption>
    <div class="bars-of" role="group" aria-label=${label} onKeyDown=${step}>
      <span class="highest" aria-hidden="true">${highest}</span>
      ${columns.map(
        (
          column,
          place,
        ) => html`<a key=${place} class="column ${column.isAhead ? "is-ahead" : ""} ${column.isKnown ? "" : "is-unknown"}"
          data-column=${place} tabindex=${place === chosen ? 0 : -1} onFocus=${() => choose(place)}
          href=${hrefOf(column)} aria-label=${named(column, now)} title=${named(column, now)}>
          ${PARTS.map((name) => column[name] > 0 && html`<i class=${name} style=${{ height: `${Math.max((column[name] / highest) * 100, LEAST[name])}%` }}></i>`)}
        </a>`,
      )}
    </div>
    <div class="ticks" aria-hidden="true">
      ${[0, 0.25, 0.5, 0.75, 1].map((part) => {
        const at = columns[Math.min(Math.round(part * columns.length), columns.length - 1)];
        const words = part === 0.5 ? "now" : moment(part === 1 ? at.to : at.from, now);
        return html`<span class=${part === 0.5 ? "is-now" : ""}>${words}</span>`;
      })}
    </div>
  </figure>`;
}

function sum(column) {
  return PARTS.reduce((all, name) => all + column[name], 0);
}

function hrefOf({ isAhead, from, to: end }) {
  const iso = (at) => new Date(at).toISOString().replace(".000", "");
  if (isAhead) return to("/jobs", { sort: "next_run_time" });
  return to("/runs", { status: "any", since: iso(from), until: iso(end) });
}

function named(column, now) {
  return `${moment(column.from, now)} to ${moment(column.to, now)}: ${words(column)}`;
}
