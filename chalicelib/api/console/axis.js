// A time axis: what went wrong and what was sent on the left of now, what comes due on the right.

import { moment, relative, whole } from "./format.js";
import { html } from "./ui.js";

export const SPANS = { "1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000 };
export const SPAN_WORDS = { "1h": "1 hour", "24h": "24 hours", "7d": "7 days" };

// How wide a column of marks is, in pixels, and how many marks it shows.
const COLUMN = 13;
const HIGHEST = 5;

/** Return the span that shows what comes next: a day, unless several are due within the hour. */
export function fitting(times, now) {
  const within = (span) => times.filter((time) => time >= now && time - now <= SPANS[span]).length;
  if (within("1h") >= 3) return "1h";
  return within("24h") || !within("7d") ? "24h" : "7d";
}

/** Marks are `{at, kind, title, href}`; one outside the span is left out. */
export function Axis({ marks, now, span, label }) {
  const width = SPANS[span];
  // Even, so that no column stands on both sides of now.
  const count = 2 * Math.floor(Math.min(innerWidth - 32, 1180) / (2 * COLUMN));
  const columns = new Map();
  for (const mark of [...marks].sort((a, b) => a.at - b.at)) {
    const place = (mark.at - now + width) / (2 * width);
    if (place < 0 || place > 1) continue;
    const column = Math.min(Math.floor(place * count), count - 1);
    columns.set(column, [...(columns.get(column) || []), mark]);
  }
  return html`<figure class="axis">
    <figcaption class="unseen">${label}</figcaption>
    <div class="marks" aria-hidden="true">
      ${[...columns].map(
        ([
          column,
          found,
        ]) => html`<div class="column" key=${column} style=${{ left: `${((column + 0.5) / count) * 100}%` }}>
          ${found.length > HIGHEST && html`<span class="more">${found.length}</span>`}
          ${found
            .slice(0, HIGHEST)
            .map(
              (mark) =>
                html`<a tabindex="-1" class="mark ${mark.kind}" href=${mark.href} title=${mark.title}></a>`,
            )}
        </div>`,
      )}
      <div class="now"></div>
    </div>
    <div class="ticks" aria-hidden="true">
      ${[-1, -0.5, 0, 0.5, 1].map((part) => {
        const at = new Date(now + part * width);
        const words = part === 0 ? "now" : moment(at, now).replace(/(:\d\d):\d\d$/, "$1");
        return html`<span title=${whole(at)} class=${part === 0 ? "is-now" : ""}>${words}</span>`;
      })}
    </div>
  </figure>`;
}

/** Say when a mark is or was. */
export function when(iso, now) {
  return `${moment(iso, now)}, ${relative(iso, now)}`;
}
