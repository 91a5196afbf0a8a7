// A job as the form has it: from a job, and to the JSON that the API takes. Pure functions.

import { parse, wall } from "./format.js";

// The fields that a new job must have.
const ALWAYS = ["name", "request", "trigger"];
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
  // The fields of the trigger that the form does not show, and the kind that has them.
  bounds: {},
  boundsOf: null,
  timezone: "UTC",
  gap: "skip",
  fold: "first",
  timeout: "30",
  max_attempts: "3",
  initial_delay: "10",
  max_delay: "3600",
  // What the form does not show, and keeps.
  delays: null,
  never: null,
  success: null,
  overlap: "allow",
  misfire_grace: "",
  pause_after: "",
  on_succeeded: "",
  on_failed: "",
  labels: [],
};

const KINDS = { "one-time": "date", cron: "cron", interval: "every" };

/** Return an empty draft, for a viewer in a zone. */
export function empty(zone) {
  return { ...DEFAULTS, timezone: zone };
}

/** Return the draft of a job that exists. */
export function draftOf(job) {
  const { request, trigger, retry } = job;
  const { body } = request;
  const { cron, every, date, timezone, dst, ...bounds } = trigger.fields;
  const zone = timezone || "UTC";
  return {
    ...DEFAULTS,
    name: job.name,
    key: job.key || "",
    url: request.url,
    method: request.method,
    headers: pairs(request.headers),
    bodyKind: body === null ? "none" : typeof body === "string" ? "text" : "json",
    body: body === null ? "" : typeof body === "string" ? body : JSON.stringify(body, null, 2),
    kind: KINDS[trigger.type],
    cron: cron || DEFAULTS.cron,
    every: every ? String(every) : DEFAULTS.every,
    date: date ? wall(date, zone) : "",
    bounds,
    boundsOf: KINDS[trigger.type],
    timezone: zone,
    ...trigger.fields.dst,
    timeout: String(job.timeout),
    max_attempts: String(retry.max_attempts),
    initial_delay: String(retry.initial_delay ?? ""),
    max_delay: String(retry.max_delay ?? ""),
    delays: retry.delays,
    never: retry.never,
    success: job.success,
    overlap: job.overlap,
    misfire_grace: String(job.misfire_grace ?? ""),
    pause_after: String(job.pause_after ?? ""),
    on_succeeded: job.callbacks?.succeeded?.url ?? "",
    on_failed: job.callbacks?.failed?.url ?? "",
    labels: pairs(job.labels),
  };
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

function callbacks(draft) {
  const urls = Object.entries({ succeeded: draft.on_succeeded, failed: draft.on_failed });
  const given = urls.filter(([, url]) => url).map(([status, url]) => [status, { url }]);
  return given.length ? Object.fromEntries(given) : null;
}

/** Return the trigger of a draft. */
export function triggerOf(draft) {
  if (draft.kind === "delay") return { delay: number(draft.delay) };
  const { timezone, gap, fold } = draft;
  const bounds = draft.kind === draft.boundsOf ? draft.bounds : {};
  if (draft.kind === "every") return { every: number(draft.every), ...bounds };
  if (draft.kind === "date") return { date: draft.date, timezone };
  const isUsual = gap === DEFAULTS.gap && fold === DEFAULTS.fold;
  return { cron: draft.cron, timezone, ...bounds, ...(isUsual ? {} : { dst: { gap, fold } }) };
}

/** Return the job of a draft as the API takes it. Raises SyntaxError if its body is not JSON. */
export function jobOf(draft) {
  const request = { url: draft.url, method: draft.method, headers: members(draft.headers) };
  if (draft.bodyKind === "text") request.body = draft.body;
  if (draft.bodyKind === "json") request.body = parse(draft.body);
  const { delays, never, success } = draft;
  const doubling = {
    initial_delay: number(draft.initial_delay),
    max_delay: number(draft.max_delay),
  };
  const job = {
    name: draft.name,
    request,
    trigger: triggerOf(draft),
    timeout: number(draft.timeout),
    retry: {
      max_attempts: number(draft.max_attempts),
      ...(delays ? { delays } : doubling),
      ...(never && { never }),
    },
    ...(success && { success }),
    overlap: draft.overlap,
    misfire_grace: optional(draft.misfire_grace),
    pause_after: optional(draft.pause_after),
    callbacks: callbacks(draft),
    labels: members(draft.labels),
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
    .map((error) =>
      error.field === field
        ? error.message
        : `${error.field.slice(field.length + 1)}: ${error.message}`,
    )
    .join("; ");
}
