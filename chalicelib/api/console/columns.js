// The columns of the time axis: what ended before now, and what comes due after. Pure functions.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/**
 * How far the axis shows before and after now: how wide a column is, and how many there are on each
 * side. The last column before now is the one that now is in.
 */
export const SPANS = {
  "1h": { step: 2 * MINUTE, count: 31, words: "hour", hours: 2 },
  "24h": { step: HOUR, count: 25, words: "24 hours", hours: 25 },
  "7d": { step: 6 * HOUR, count: 28, words: "7 days", hours: 168 },
};

export const OUTCOMES = ["failed", "missed", "skipped", "succeeded"];

/** Return the count of each outcome, and what is due: none yet. */
function nothing() {
  return { failed: 0, missed: 0, skipped: 0, succeeded: 0, due: 0 };
}

/** Return where the axis begins: at a whole step on the viewer's clock. */
export function beginning(span, now) {
  const { step, count } = SPANS[span];
  // The API counts by hours of UTC: in a zone that is half an hour off, columns are as well.
  const zone = -Math.round(new Date(now).getTimezoneOffset() / 60) * HOUR;
  const current = Math.floor((now + zone) / step) * step - zone;
  return current - (count - 1) * step;
}

/**
 * Return the columns, oldest first.
 *
 * @param {"1h" | "24h" | "7d"} span
 * @param {number} now
 * @param {{at: number, counts: Record<string, number>}[]} counted
 * @param {{times: number[], until: number}} upcoming the occurrences until an instant
 */
export function columns(span, now, counted, upcoming) {
  const { step, count } = SPANS[span];
  const from = beginning(span, now);
  const behind = Array.from({ length: count }, (_, place) => {
    const start = from + place * step;
    return { from: start, to: start + step, isAhead: false, isKnown: true, ...nothing() };
  });
  // The column that now is in is there twice: what ended in it, and what is still to come.
  const first = from + (count - 1) * step;
  const ahead = Array.from({ length: count }, (_, place) => {
    const start = first + place * step;
    const isKnown = upcoming.until >= start + step;
    return { from: start, to: start + step, isAhead: true, isKnown, ...nothing() };
  });
  for (const { at, counts } of counted) {
    const column = behind[Math.floor((at - from) / step)];
    if (column) for (const outcome of OUTCOMES) column[outcome] += counts[outcome] || 0;
  }
  for (const at of upcoming.times) {
    const column = at >= now ? ahead[Math.floor((at - first) / step)] : undefined;
    if (column) column.due += 1;
  }
  return [...behind, ...ahead];
}

/** Return the sum of the outcomes before now. */
export function total(found) {
  const sum = nothing();
  for (const column of found) for (const name of Object.keys(sum)) sum[name] += column[name];
  return sum;
}

/** Say what a column has: 118 succeeded, 1 failed. */
export function words(column) {
  const parts = [...OUTCOMES].reverse().map((name) => column[name] && `${column[name]} ${name}`);
  if (column.isAhead) parts.push(column.due && `${column.due} due`);
  const said = parts.filter(Boolean).join(", ");
  if (said) return column.isKnown ? said : `at least ${said}`;
  if (column.isAhead) return column.isKnown ? "nothing due" : "not counted";
  return "no runs";
}
