// A job as the form has it: from a job, and to the JSON that the API takes. Pure functions.

import { isZone, parse, readable, wall, ZONE } from "./format.js";

// The fields that a new job must have.
const ALWAYS = ["name", "request", "trigger"];
// The fields of a job that no client may give.
const SHOWN =
  "id created_at updated_at status next_run_time result recent_runs pause skips backfill".split(
    " ",
  );
const DEFAULTS = {
  name: "",
  key: "",
  url: "",
  method: "POST",
  headers: [],
  bodyKind: "none",
  body: "",
  kind: "cron",
  cron: "0 9 * * 1-5",
  date: "",
  delay: "60",
  every: "300",
  timezone: "UTC",
  gap: "skip",
  fold: "first",
  starts_at: "",
  ends_at: "",
  max_runs: "",
  spread: "",
  exclude: "",
  timeout: "30",
  max_attempts: "3",
  initial_delay: "10",
  max_delay: "3600",
  delays: "",
  never: "",
  success_status: "",
  success_contains: "",
  success_json: [],
  completion: "response",
  deadline: "3600",
  flow: "",
  overlap: "allow",
  misfire_grace: "",
  pause_after: "",
  on_succeeded: "",
  on_failed: "",
  labels: [],
  // The id of the job, its kind of trigger, and the instants that it had.
  had: { id: "", kind: "" },
  // What the form does not know, and keeps.
  kept: { trigger: {}, request: {}, retry: {}, success: {}, callbacks: {}, job: {} },
};

const KINDS = { "one-time": "date", cron: "cron", interval: "every" };

/** Return an empty draft, for a viewer in a zone. */
export function empty(zone) {
  return { ...DEFAULTS, timezone: zone };
}

/** Return the draft of a job that exists. */
export function draftOf(job) {
  const { name, key, request, trigger, timeout, retry, success, overlap, ...others } = job;
  const { misfire_grace, pause_after, callbacks, labels, completion, deadline, flow, ...rest } =
    others;
  const { url, method, headers, body, ...ofRequest } = request;
  const {
    cron,
    every,
    date,
    timezone,
    dst,
    spread,
    exclude,
    starts_at,
    ends_at,
    max_runs,
    ...ofTrigger
  } = trigger.fields;
  const { max_attempts, initial_delay, max_delay, delays, never, ...ofRetry } = retry;
  const { status, body_contains, json, ...ofSuccess } = success ?? {};
  const { succeeded, failed, ...ofCallbacks } = callbacks ?? {};
  // A job without a zone of its own is shown in the viewer's.
  const zone = timezone || ZONE;
  const local = (iso) => (iso ? wall(iso, zone) : "");
  return {
    ...DEFAULTS,
    name,
    key: key || "",
    url,
    method,
    headers: pairs(headers),
    bodyKind: body === null ? "none" : typeof body === "string" ? "text" : "json",
    body: body === null ? "" : typeof body === "string" ? body : JSON.stringify(body, null, 2),
    kind: KINDS[trigger.type],
    cron: cron || DEFAULTS.cron,
    every: every ? String(every) : DEFAULTS.every,
    date: local(date),
    timezone: zone,
    ...dst,
    starts_at: local(starts_at),
    ends_at: local(ends_at),
    max_runs: text(max_runs),
    spread: text(spread),
    exclude: (exclude ?? []).join(", "),
    timeout: String(timeout),
    max_attempts: String(max_attempts),
    initial_delay: String(initial_delay ?? DEFAULTS.initial_delay),
    max_delay: String(max_delay ?? DEFAULTS.max_delay),
    delays: (delays ?? []).join(", "),
    never: (never ?? []).join(", "),
    success_status: (status ?? []).join(", "),
    success_contains: text(body_contains),
    success_json: pairs(json ?? {}).map((pair) => ({ ...pair, value: jsonText(pair.value) })),
    completion: completion ?? DEFAULTS.completion,
    deadline: String(deadline ?? DEFAULTS.deadline),
    flow: text(flow),
    overlap,
    misfire_grace: text(misfire_grace),
    pause_after: text(pause_after),
    on_succeeded: succeeded?.url ?? "",
    on_failed: failed?.url ?? "",
    labels: pairs(labels),
    had: { id: job.id, kind: KINDS[trigger.type], date, starts_at, ends_at },
    kept: {
      request: ofRequest,
      trigger: ofTrigger,
      retry: ofRetry,
      success: given(ofSuccess),
      callbacks: given(ofCallbacks),
      job: given(without(rest, SHOWN)),
    },
  };
}

function text(value) {
  return String(value ?? "");
}

function without(members, names) {
  return Object.fromEntries(Object.entries(members).filter(([name]) => !names.includes(name)));
}

function given(members) {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
}

function pairs(members) {
  return Object.entries(members).map(([name, value]) => ({ name, value }));
}

function members(found) {
  return Object.fromEntries(
    found.filter(({ name, value }) => name || value).map(({ name, value }) => [name, value]),
  );
}

/** Return a number as JSON has it; the text itself, for the API to refuse, if it is none. */
export function number(text) {
  const trimmed = text.trim();
  return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : text;
}

function optional(text) {
  return text.trim() === "" ? null : number(text);
}

/** Return the words of a list that was typed. */
export function words(text) {
  return text.split(/[\s,;]+/).filter(Boolean);
}

/** Return the entries of a list that was typed, such as 5, 60 or 200-299, 404. */
function list(text) {
  return words(text).map(number);
}

/** Return a value that was typed: JSON, or else the text itself. */
function jsonValue(text) {
  try {
    return parse(text);
  } catch {
    return text;
  }
}

function jsonText(value) {
  return typeof value === "string" && jsonValue(value) === value ? value : JSON.stringify(value);
}

/** Return how many attempts a run has by default, with the delays that were typed. */
export function usualAttempts(delays) {
  const count = list(delays).length;
  return count ? String(Math.min(count + 1, 20)) : DEFAULTS.max_attempts;
}

/**
 * Return a date and time that was typed, for the API to read in the trigger's zone. If it is still
 * the instant that the job had, that: the text may mean two, when clocks are put back.
 */
function instant(draft, name) {
  const { [name]: typed, had, timezone } = draft;
  const isSame = had[name] && isZone(timezone) && wall(had[name], timezone) === typed;
  return isSame ? had[name] : typed;
}

/** Return the trigger of a draft. */
export function triggerOf(draft) {
  const { kind, timezone, gap, fold, had, kept } = draft;
  if (kind === "delay") return { delay: number(draft.delay) };
  const more = kind === had.kind ? kept.trigger : {};
  // A time zone goes with a cron, or with what has no offset.
  const zoned = (fields) =>
    kind === "cron" || Object.values(fields).some((time) => time && !time.endsWith("Z"))
      ? { timezone }
      : {};
  if (kind === "date") {
    const date = { date: instant(draft, "date") };
    return { ...date, ...zoned(date), ...more };
  }
  const times = Object.fromEntries(
    ["starts_at", "ends_at"]
      .filter((name) => draft[name])
      .map((name) => [name, instant(draft, name)]),
  );
  const exclude = words(draft.exclude);
  const bounds = {
    ...times,
    ...(draft.max_runs && { max_runs: number(draft.max_runs) }),
    ...(exclude.length && { exclude }),
  };
  if (kind === "every") return { every: number(draft.every), ...zoned(times), ...bounds, ...more };
  const isUsual = gap === DEFAULTS.gap && fold === DEFAULTS.fold;
  const dst = isUsual ? {} : { dst: { gap, fold } };
  const spread = draft.spread && { spread: number(draft.spread) };
  return { cron: draft.cron, timezone, ...dst, ...spread, ...bounds, ...more };
}

function retryOf(draft) {
  const delays = list(draft.delays);
  const never = list(draft.never);
  const doubling = {
    initial_delay: number(draft.initial_delay),
    max_delay: number(draft.max_delay),
  };
  return {
    max_attempts: number(draft.max_attempts),
    ...(delays.length ? { delays } : doubling),
    ...(never.length && { never }),
    ...draft.kept.retry,
  };
}

/** Return what counts as success; null if no condition is given. */
function successOf(draft) {
  const status = list(draft.success_status);
  const json = Object.entries(members(draft.success_json)).map(([at, text]) => [
    at,
    jsonValue(text),
  ]);
  const success = {
    ...(status.length && { status }),
    ...(draft.success_contains && { body_contains: draft.success_contains }),
    ...(json.length && { json: Object.fromEntries(json) }),
    ...draft.kept.success,
  };
  return Object.keys(success).length ? success : null;
}

function callbacksOf({ on_succeeded, on_failed, kept }) {
  const found = {
    ...(on_succeeded && { succeeded: { url: on_succeeded } }),
    ...(on_failed && { failed: { url: on_failed } }),
    ...kept.callbacks,
  };
  return Object.keys(found).length ? found : null;
}

/** Return the job of a draft as the API takes it. Raises SyntaxError if its body is not JSON. */
export function jobOf(draft) {
  const { kept } = draft;
  const request = {
    url: draft.url,
    method: draft.method,
    headers: members(draft.headers),
    ...kept.request,
  };
  if (draft.bodyKind === "text") request.body = draft.body;
  if (draft.bodyKind === "json") request.body = parse(draft.body);
  const job = {
    name: draft.name,
    request,
    trigger: triggerOf(draft),
    timeout: number(draft.timeout),
    retry: retryOf(draft),
    success: successOf(draft),
    completion: draft.completion,
    flow: draft.flow || null,
    ...(draft.completion === "callback" && { deadline: number(draft.deadline) }),
    overlap: draft.overlap,
    misfire_grace: optional(draft.misfire_grace),
    pause_after: optional(draft.pause_after),
    callbacks: callbacksOf(draft),
    labels: members(draft.labels),
    ...kept.job,
  };
  return draft.key ? { ...job, key: draft.key } : job;
}

/** Return the fields of a job that differ from those of another draft. */
export function changes(draft, old) {
  const [now, before] = [jobOf(draft), jobOf(old)];
  const names = Object.keys(now).filter(
    (name) => JSON.stringify(now[name]) !== JSON.stringify(before[name]),
  );
  return Object.fromEntries(names.map((name) => [name, now[name]]));
}

/** Return the fields that are not what the API would take by default. */
export function sparse(job) {
  const usual = jobOf(DEFAULTS);
  const names = Object.keys(job).filter(
    (name) => ALWAYS.includes(name) || JSON.stringify(job[name]) !== JSON.stringify(usual[name]),
  );
  const shown = Object.fromEntries(names.map((name) => [name, job[name]]));
  if (!Object.keys(shown.request.headers).length) {
    const { headers, ...rest } = shown.request;
    shown.request = rest;
  }
  return shown;
}

/** Return the message of the errors of a field and of what is within it. */
export function messageFor(errors, field) {
  return errors
    .filter((error) => error.field === field || error.field.startsWith(`${field}.`))
    .map(({ field: at, message }) => {
      // An entry of a list is told by its place, counted from one.
      const within = at.slice(field.length + 1).replace(/^\d+$/, (place) => `entry ${+place + 1}`);
      return readable(within ? `${within}: ${message}` : message);
    })
    .join("; ");
}
