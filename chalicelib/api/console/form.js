// The form that registers and changes a job.

import { call, get, keyring, url } from "./api.js";
import { curl } from "./curl.js";
import { changes, draftOf, empty, jobOf, sparse, triggerOf } from "./draft.js";
import { ZONE } from "./format.js";
import { Paste } from "./paste.js";
import { useEffect, useMemo, useRef, useState } from "./preact-hooks.js";
import { find, refreshAll, to } from "./state.js";
import { Block, Change, Failure, Heading, html, Loading, say } from "./ui.js";
import { How, What } from "./what.js";
import { usePreview, When } from "./when.js";

// The fields that show their own errors; those of others stand above the form.
const PLACES = [
  ...["name", "key", "request.url", "request.method", "request.headers", "request.body", "trigger"],
  ...["timeout", "retry", "overlap", "misfire_grace", "labels"],
];

/** Register a job, from another one if `from` is its id, or change the job with this id. */
export function Form({ id, from, isFirst }) {
  const [old, setOld] = useState(null);
  const [error, setError] = useState(null);
  const source = id || from;
  useEffect(() => {
    if (!source) return;
    get(`/jobs/${encodeURIComponent(source)}`).then(
      ({ data }) => setOld(data),
      (problem) => setError(problem),
    );
  }, [source]);
  const title = id ? "Edit job" : from ? "Duplicate job" : "New job";
  if (error) return html`<${Heading} title=${title} /><${Failure} error=${error} />`;
  if (source && !old) return html`<${Heading} title=${title} /><${Loading} rows=${8} />`;
  return html`<${Fields} title=${title} id=${id} first=${begin(old, { id, isFirst })} />`;
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

function Fields({ title, id, first }) {
  const [draft, setDraft] = useState(first);
  const [errors, setErrors] = useState(/** @type {FieldProblem[]} */ ([]));
  const [refused, setRefused] = useState(/** @type {any} */ (null));
  const [isUnderWay, setUnderWay] = useState(false);
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const original = useRef(first);
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
  const preview = usePreview(
    draft,
    id && JSON.stringify(triggerOf(draft)) === JSON.stringify(triggerOf(original.current)),
  );
  const shown = [
    ...errors.filter((error) => !error.field.startsWith("trigger") || !preview.errors.length),
    ...preview.errors,
  ];
  if (notJson) shown.push({ field: "request.body", message: notJson });

  async function submit(event) {
    event.preventDefault();
    if (notJson || isUnderWay) return;
    setUnderWay(true);
    try {
      const text = JSON.stringify(job);
      const { data } = await call(id ? "PATCH" : "POST", id ? `/jobs/${id}` : "/jobs", {
        body: text,
      });
      say(id ? "The job was changed." : "The job was registered.");
      refreshAll();
      location.hash = to(`/jobs/${data.id}`);
    } catch (problem) {
      setErrors(problem.errors);
      setRefused(problem);
      setTimeout(() => form.current && find("[aria-invalid=true]", form.current)?.focus());
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
    <form class="form" ref=${form} noValidate onSubmit=${submit} onKeyDown=${(event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
    }}>
      <div>
        ${!id && html`<${Paste} onRead=${set} />`}
        <${What} ...${place} id=${id} />
        <${When} ...${place} preview=${preview} />
        <${How} ...${place} />
        ${refused && (elsewhere.length > 0 || !refused.errors.length) && html`<${Failure} error=${refused} />`}
        <div class="buttons">
          <${Change} type="submit" kind="primary" disabled=${isUnderWay || Boolean(notJson) || isNothing}>
            ${id ? "Save changes" : "Register job"}
          <//>
          <a class="button" href=${id ? to(`/jobs/${id}`) : "#/jobs"}>Cancel</a>
          ${isNothing && html`<span class="note">Nothing is changed yet.</span>`}
          ${errors.length > 0 && html`<span class="error" role="alert">${errors.length === 1 ? "One field is wrong." : `${errors.length} fields are wrong.`}</span>`}
        </div>
      </div>
      <${Same} job=${job} id=${id} />
    </form>
  `;
}

// The field of the API that a field of the draft is a part of.
const GROUP = {
  url: "request.url",
  method: "request",
  headers: "request.headers",
  body: "request.body",
  bodyKind: "request.body",
  ...Object.fromEntries(
    ["kind", "cron", "date", "delay", "timezone", "gap", "fold"].map((name) => [name, "trigger"]),
  ),
  ...Object.fromEntries(
    ["max_attempts", "initial_delay", "max_delay"].map((name) => [name, "retry"]),
  ),
};

function read(draft, old) {
  try {
    return { job: old ? changes(draft, old) : sparse(jobOf(draft)), notJson: null };
  } catch (error) {
    return { job: null, notJson: `is not JSON: ${error.message}` };
  }
}

function Same({ job, id }) {
  const target = url(id ? `/jobs/${id}` : "/jobs");
  const headers = keyring.key() ? { Authorization: "Bearer $RESONA_KEY" } : {};
  const command =
    job &&
    curl({ url: target, method: id ? "PATCH" : "POST", headers, body: job }).replace(
      "'Authorization: Bearer $RESONA_KEY'",
      '"Authorization: Bearer $RESONA_KEY"',
    );
  if (id && job && !Object.keys(job).length)
    return html`<aside><p class="empty">What you change stands here, as JSON and as curl.</p></aside>`;
  return html`<aside aria-label="As JSON and curl">
    <h2>JSON</h2>
    ${job ? html`<${Block} text=${JSON.stringify(job, null, 2)} what="the JSON" />` : html`<p class="empty">The body is not JSON.</p>`}
    <h2>curl</h2>
    ${job && html`<${Block} text=${command} what="the command" />`}
  </aside>`;
}
