// Words for times, schedules and runs. Pure functions: nothing here reads the page or the network.

/** The viewer's time zone. */
export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Parse JSON, keeping numbers that JavaScript would round as they were written. */
export function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && context && JSON.rawJSON && String(value) !== context.source
      ? JSON.rawJSON(context.source)
      : value,
  );
}

/** Lay out JSON text; null if it is not JSON, or a single word or number. */
export function laidOut(text) {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return JSON.stringify(parse(text), null, 2);
  } catch {
    return null;
  }
}

const formats = new Map();

function format(zone, options) {
  const name = `${zone} ${JSON.stringify(options)}`;
  if (!formats.has(name)) {
    formats.set(name, new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }));
  }
  return formats.get(name);
}

// How many characters of a text a list shows.
const BRIEF = 160;
const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const DAY = { weekday: "short", day: "numeric", month: "short" };
const DATE = { year: "numeric", month: "2-digit", day: "2-digit" };

function day(instant, zone) {
  return format(zone, DATE).format(instant);
}

/** Return the time of day in a zone, with the day if it is not today. */
export function moment(iso, now, zone = ZONE) {
  const instant = new Date(iso);
  const time = format(zone, TIME).format(instant).replace(/:00$/, "");
  if (day(instant, zone) === day(now, zone)) return time;
  const year = instant.getFullYear() !== new Date(now).getFullYear();
  const date = format(zone, year ? { ...DAY, year: "numeric" } : DAY).format(instant);
  return `${date.replace(",", "")}, ${time}`;
}

/** Return the time of day in another zone, with the day if it is another one there. */
export function elsewhere(iso, now, zone) {
  const instant = new Date(iso);
  if (day(instant, zone) !== day(instant, ZONE)) return moment(iso, now, zone);
  return format(zone, TIME).format(instant).replace(/:00$/, "");
}

/** Return a whole date and time with its zone, for titles and details. */
export function whole(iso, zone = ZONE) {
  const options = { ...DAY, year: "numeric", ...TIME, timeZoneName: "short" };
  return format(zone, options).format(new Date(iso));
}

/**
 * Return an instant as the API takes it, also one that was typed on the viewer's clock; a text that
 * is no instant itself.
 */
export function iso(at) {
  const instant = new Date(at);
  return Number.isNaN(instant.getTime()) ? String(at) : instant.toISOString().replace(".000", "");
}

/** Return whether a text is the name of a time zone. */
export function isZone(text) {
  try {
    return Boolean(format(text, {}));
  } catch {
    return false;
  }
}

/** Return the value of an input for date and time: 2026-12-01T10:00:00 in a zone. */
export function wall(iso, zone) {
  const options = { ...DATE, ...TIME };
  const parts = Object.fromEntries(
    format(zone, options)
      .formatToParts(new Date(iso))
      .map((part) => [part.type, part.value]),
  );
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}:${parts.second}`;
}

/** Return a duration in its two largest units: 146 ms, 1.2 s, 3 min 5 s, 2 h, 4 d 3 h. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1).replace(".0", "")} s`;
  return span(ms);
}

/** Return seconds in words, exactly: 90 s is 1 min 30 s. */
export function seconds(count) {
  return Number.isInteger(count) && count > 0 ? span(count * 1000, 4) : `${count} s`;
}

function span(ms, most = 2) {
  /** @type {[string, number][]} */
  const units = [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  let seconds = Math.round(ms / 1000);
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  const parts = [];
  for (const [unit, size] of units.slice(first, first + most)) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count) parts.push(`${count} ${unit}`);
  }
  return parts.join(" ");
}

/** Return the last part of a zone's name: Berlin. */
export function city(zone) {
  return zone.split("/").pop().replaceAll("_", " ");
}

/** Return a message of the API with its instants as the viewer's clocks show them. */
export function readable(message, now = null) {
  return message.replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d[:.\d]*Z\b/g, (iso) =>
    now ? moment(iso, now) : whole(iso),
  );
}

/** Return a text that a list has room for: its begin, if it is long. */
export function brief(text, most = BRIEF) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Return how far an instant is from now: "in 3 min 5 s", "2 h ago", the past in one unit. */
export function relative(iso, now) {
  const ms = new Date(iso).getTime() - now;
  if (Math.abs(ms) < 1000) return "now";
  return ms > 0 ? `in ${span(ms)}` : `${span(-ms, 1)} ago`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Say how an attempt ended; what the target said may be long, and its begin is enough here. */
function answered({ error, outcome }, now) {
  return capital(
    error ? brief(readable(error, now)) : `the attempt ended as ${outcome.replaceAll("_", " ")}`,
  );
}

const SKIPPED = {
  overlap: "its previous run was not finished when it came due",
  too_many_runs: "32 runs of the job were unfinished when it came due",
  asked: "somebody asked for it",
  superseded: "the job was paused, changed or deleted while it was held",
};

/**
 * Say in one sentence how a run ended or where it stands.
 *
 * @param {Run} run
 * @param {number} now
 * @param {Job | null} [job] if it is at hand, the sentence says what it allows
 */
export function why(run, now, job = null) {
  const last = run.attempts.at(-1);
  if (run.reason === "cancelled") {
    return last
      ? `${answered(last, now)}; then it was cancelled.`
      : "Cancelled before it was sent.";
  }
  switch (run.status) {
    case "missed":
      return missed(run, now, job);
    case "skipped":
      return `Skipped: ${SKIPPED[run.reason] ?? `it came due on a day of the ${run.reason?.replace(":", " ")}`}.`;
    case "failed":
      return failed(run, last, now);
    case "retrying":
      if (run.waits_for) return `${last ? `${answered(last, now)}; it` : "It"} ${held(run, now)}`;
      return last
        ? `${answered(last, now)}; attempt ${last.number + 1} follows ${relative(run.next_attempt_at, now)}.`
        : "It will be tried again.";
    case "succeeded":
      return last ? `The target answered ${last.status_code}.` : "It succeeded.";
    case "running":
      return "It was sent; the target has not answered yet.";
    case "waiting":
      return `The target ${last?.status_code ? `answered ${last.status_code} and ` : ""}must call back by ${moment(run.deadline, now)}, ${relative(run.deadline, now)}.`;
    default:
      return run.waits_for ? `It ${held(run, now)}` : "It waits to be sent.";
  }
}

const WAITS = {
  share: "its tenant uses its share of the executors",
  rate: "its flow sends only so many in a time",
  concurrency: "as many requests of its flow are out as may be",
  pause: "its flow is paused",
  breaker: "its flow is stopped, as its target kept failing",
};

/** Say what a run waits for that is due and not sent. */
function held(run, now) {
  const { waits_for: what, next_attempt_at: at } = run;
  return `waits, since ${WAITS[what] ?? `it is held: ${what}`}${at ? `; it is sent ${relative(at, now)}` : ""}.`;
}

function missed(run, now, job) {
  const { missed_count: count, last_scheduled_time: until } = run;
  if (count > 1) {
    const [from, to] = [moment(run.scheduled_time, now), moment(until, now)];
    return `${count} occurrences from ${from} to ${to} were noticed too late to be sent.`;
  }
  if (run.reason === "paused") return "Not sent: the job was paused when it came due.";
  const late = run.finished_at ? Date.parse(run.finished_at) - Date.parse(run.scheduled_time) : 0;
  // A grace is a second at least: what was noticed sooner would have been late for its flow's place.
  if (run.finished_at && late < 1000)
    return "Not sent: its flow had no place for it within its misfire grace.";
  const grace = job?.misfire_grace;
  const noticed =
    late > 0 ? `noticed ${span(late)} after its due time` : "noticed after its due time";
  const allowed = grace ? `its misfire grace of ${span(grace * 1000)} allows` : "the job allows";
  return `Not sent: it was ${noticed}, later than ${allowed}.`;
}

function failed(run, last, now) {
  if (!last) return "It was not sent: the job was paused, changed or deleted.";
  const count = run.attempts.length;
  if (run.reason === "superseded") {
    return `${answered(last, now)}; not retried, since the job was paused, changed or deleted.`;
  }
  if (run.reason === "attempts_exhausted" || count > 1) {
    return `${answered(last, now)}${count > 1 ? ` at the last of ${count} attempts` : ""}.`;
  }
  return `${answered(last, now)}; that is not retried.`;
}

/** Lay out bytes in base64 as a hex dump. */
export function hexDump(base64) {
  const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  const rows = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.slice(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row
      .map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "."))
      .join("");
    rows.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return rows.join("\n");
}
