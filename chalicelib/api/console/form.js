// The form that registers and changes a job; a curl command that is pasted fills it.

import { call, changedMeanwhile, get, keyring, refreshAll, to, url } from "./api.js";
import { curl, readCurl } from "./curl.js";
import { changes, draftOf, empty, jobOf, sparse, triggerOf } from "./draft.js";
import { ZONE } from "./format.js";
import { How, What } from "./inputs.js";
import { useEffect, useMemo, useRef, useState } from "./preact-hooks.js";
import {
  Block,
  Change,
  EntryForm,
  Failure,
  focusWrong,
  Heading,
  html,
  Loading,
  say,
  Text,
} from "./ui.js";
import { usePreview, When } from "./when.js";

// How often a job that goes on running is tried to be changed.
const TRIES = 4;
// The fields that show their own errors; those of others stand above the form.
const PLACES = [
  ...["name", "key", "request.url", "request.method", "request.headers", "request.body", "trigger"],
  ...[
    "timeout",
    "retry",
    "success",
    "completion",
    "deadline",
    "flow",
    "overlap",
    "misfire_grace",
    "pause_after",
    "labels",
  ],
  ...["callbacks.succeeded.url", "callbacks.failed.url"],
];

/** Register a job, from another one if `from` is its id, or change the job with this id. */
export function Form({ id, from, isFirst }) {
  const [old, setOld] = useState(/** @type {Answer<Job> | null} */ (null));
  const [error, setError] = useState(null);
  const source = id || from;
  useEffect(() => {
    if (!source) return;
    get(`/jobs/${encodeURIComponent(source)}`).then(setOld, (problem) => setError(problem));
  }, [source]);
  const title = id ? "Edit job" : from ? "Duplicate job" : "New job";
  if (error) return html`<${Heading} title=${title} /><${Failure} error=${error} />`;
  if (source && !old) return html`<${Heading} title=${title} /><${Loading} rows=${8} />`;
  return html`<${Fields} title=${title} id=${id} first=${begin(old?.data, { id, isFirst })} tag=${old?.tag} />`;
}

function begin(old, { id, isFirst }) {
  if (isFirst)
    return {
      ...empty(ZONE),
      name: "My first job",
      url: url("/health"),
      method: "GET",
      kind: "delay",
      delay: "5",
    };
  if (!old) return empty(ZONE);
  const draft = draftOf(old);
  return id ? draft : { ...draft, name: `${draft.name} copy`.slice(0, 200), key: "" };
}

/**
 * Change a job, unless somebody else changed the same fields since it was `seen` with an ETag. The
 * ETag alone does not tell: a job that ran has another one, too. Raises Problem.
 */
async function save(id, body, seen, tag) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call("PATCH", `/jobs/${id}`, { body: JSON.stringify(body), match: tag });
    } catch (problem) {
      if (problem.status !== 412 || tries === TRIES) throw problem;
      const newer = await get(`/jobs/${id}`);
      const theirs = changes(draftOf(newer.data), seen);
      const fields = Object.keys(body).filter(
        (name) => name in theirs && JSON.stringify(theirs[name]) !== JSON.stringify(body[name]),
      );
      if (fields.length) throw changedMeanwhile(fields, newer);
      tag = newer.tag;
    }
  }
}

function Fields({ title, id, first, tag }) {
  const [draft, setDraft] = useState(first);
  const [errors, setErrors] = useState(/** @type {FieldProblem[]} */ ([]));
  const [refused, setRefused] = useState(/** @type {any} */ (null));
  const [isUnderWay, setUnderWay] = useState(false);
  const original = useRef(first);
  const newer = refused?.newer;
  const set = (changed) => {
    setDraft((before) => ({ ...before, ...changed }));
    // An error stands until its field is changed.
    const groups = Object.keys(changed).map((name) => GROUP[name] || name);
    setErrors((before) =>
      before.filter(
        (error) =>
          !groups.some((group) => error.field === group || error.field.startsWith(`${group}.`)),
      ),
    );
  };
  const { job, notJson } = useMemo(() => read(draft, id && original.current), [draft]);
  const { had } = original.current;
  const isSame =
    id && JSON.stringify(triggerOf(draft)) === JSON.stringify(triggerOf(original.current));
  const preview = usePreview(draft, isSame, id && had.id);
  const shown = [
    ...errors.filter((error) => !error.field.startsWith("trigger") || !preview.errors.length),
    ...preview.errors,
  ];
  if (notJson) shown.push({ field: "request.body", message: notJson });

  /** Begin anew with the job as somebody else changed it. */
  function take() {
    original.current = draftOf(newer.data);
    setDraft(original.current);
    setRefused(null);
  }
  async function submit(event) {
    event.preventDefault();
    if (notJson || isUnderWay) return;
    setUnderWay(true);
    try {
      const seen = newer ? draftOf(newer.data) : original.current;
      const { data } = id
        ? await save(id, job, seen, newer?.tag ?? tag)
        : await call("POST", "/jobs", { body: JSON.stringify(job) });
      say(id ? "The job was changed." : "The job was registered.");
      refreshAll();
      location.hash = to(`/jobs/${data.id}`);
    } catch (problem) {
      setErrors(problem.errors);
      setRefused(problem);
      focusWrong();
    }
    setUnderWay(false);
  }

  const isNothing = Boolean(id) && job && !Object.keys(job).length;
  const place = { draft, set, errors: shown };
  const elsewhere = errors.filter(
    (error) => !PLACES.some((name) => error.field === name || error.field.startsWith(`${name}.`)),
  );
  return html`
    <p class="crumbs"><a href=${id ? to(`/jobs/${id}`) : "#/jobs"}>${id ? "Job" : "Jobs"}</a></p>
    <${Heading} title=${title} />
    <${EntryForm} onSubmit=${submit}>
      <div>
        ${!id && html`<${Paste} onRead=${set} />`}
        <${What} ...${place} id=${id} />
        <${When} ...${place} preview=${preview} />
        <${How} ...${place} />
        ${refused && (elsewhere.length > 0 || !refused.errors.length) && html`<${Failure} error=${refused} />`}
        <div class="buttons">
          <${Change} type="submit" kind="primary" disabled=${isUnderWay || Boolean(notJson) || isNothing}>
            ${newer ? "Save mine over theirs" : id ? "Save changes" : "Register job"}
          <//>
          ${newer && html`<button type="button" onClick=${take}>Drop mine and show theirs</button>`}
          <a class="button" href=${id ? to(`/jobs/${id}`) : "#/jobs"}>Cancel</a>
          ${isNothing && html`<span class="note">Nothing is changed yet.</span>`}
          ${errors.length > 0 && html`<span class="error" role="alert">${errors.length === 1 ? "One field is wrong." : `${errors.length} fields are wrong.`}</span>`}
        </div>
      </div>
      <${Same} body=${job} method=${id ? "PATCH" : "POST"} path=${id ? `/jobs/${id}` : "/jobs"} isNothing=${isNothing} />
    <//>
  `;
}

// The field of the API that a field of the draft is a part of.
const GROUP = {
  url: "request.url",
  method: "request",
  headers: "request.headers",
  body: "request.body",
  bodyKind: "request.body",
  on_succeeded: "callbacks.succeeded",
  on_failed: "callbacks.failed",
  ...all(
    "trigger",
    "kind cron every date delay timezone gap fold spread exclude starts_at ends_at max_runs",
  ),
  ...all("retry", "max_attempts initial_delay max_delay delays never"),
  ...all("success", "success_status success_contains success_json"),
};

function all(field, names) {
  return Object.fromEntries(names.split(" ").map((name) => [name, field]));
}

function read(draft, old) {
  try {
    return { job: old ? changes(draft, old) : sparse(jobOf(draft)), notJson: null };
  } catch (error) {
    return { job: null, notJson: `is not JSON: ${error.message}` };
  }
}

/** What a form sends, as JSON and as curl; `body` is null if it cannot be written. */
export function Same({ body, method, path, isNothing = false }) {
  const headers = keyring.key() ? { Authorization: "Bearer $RESONA_KEY" } : {};
  const command =
    body &&
    curl({ url: url(path), method, headers, body }).replace(
      "'Authorization: Bearer $RESONA_KEY'",
      '"Authorization: Bearer $RESONA_KEY"',
    );
  if (isNothing)
    return html`<aside><p class="empty">What you change is shown here, as JSON and as curl.</p></aside>`;
  return html`<aside aria-label="As JSON and curl">
    <h2>JSON</h2>
    ${body ? html`<${Block} text=${JSON.stringify(body, null, 2)} what="the JSON" />` : html`<p class="empty">The body is not JSON.</p>`}
    <h2>curl</h2>
    ${body && html`<${Block} text=${command} what="the command" />`}
  </aside>`;
}

/** Take a curl command; `onRead` gets the fields of the form that it says. */
function Paste({ onRead }) {
  const [text, set] = useState("");
  const [notes, setNotes] = useState(/** @type {string[] | null} */ (null));
  function read(command) {
    set(command);
    if (!command.trim()) {
      setNotes(null);
      return;
    }
    const { fields, notes } = readCurl(command);
    if (fields) onRead(fields);
    setNotes(fields ? ["The fields below are filled in.", ...notes] : notes);
  }
  return html`<details class="paste">
    <summary>Paste a curl command</summary>
    <textarea aria-label="curl command" rows="4" spellcheck=${false} placeholder="curl https://…" value=${text} onInput=${(event) => read(event.target.value)}></textarea>
    <div role="status">
      ${notes && html`<ul class="notes">${notes.map((note) => html`<li><${Text} of=${note} /></li>`)}</ul>`}
    </div>
  </details>`;
}
