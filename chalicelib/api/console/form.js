// The form that registers and changes a job.

import { call, get, keyring, url } from "./api.js";
import { changes, draftOf, empty, jobOf, messageFor, sparse, triggerOf } from "./draft.js";
import { city, cronWords, curl, elsewhere, moment, relative, ZONE } from "./format.js";
import { useEffect, useMemo, useRef, useState } from "./preact-hooks.js";
import { refreshAll, to, useNow } from "./state.js";
import { Block, Change, Failure, Heading, html, Loading, say, Text } from "./ui.js";

const METHODS = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const ZONES = Intl.supportedValuesOf ? ["UTC", ...Intl.supportedValuesOf("timeZone")] : ["UTC"];
const TYPING = 300;
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
  const [errors, setErrors] = useState([]);
  const [refused, setRefused] = useState(null);
  const [isUnderWay, setUnderWay] = useState(false);
  const form = useRef(null);
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
      setTimeout(() => form.current?.querySelector("[aria-invalid=true]")?.focus());
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
    ["kind", "cron", "date", "delay", "timezone"].map((name) => [name, "trigger"]),
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

/** Ask when the trigger is due, a moment after it was typed. */
function usePreview(draft, isSame) {
  const trigger = JSON.stringify(triggerOf(draft));
  const [state, setState] = useState({ times: [], notes: [], errors: [], of: null });
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      const count = draft.kind === "cron" ? 5 : 1;
      try {
        const { data } = await call("POST", "/triggers/preview", {
          body: `{"trigger":${trigger},"count":${count}}`,
          signal: abort.signal,
        });
        setState({ times: data.next_run_times, notes: data.notes, errors: [], of: trigger });
      } catch (problem) {
        if (abort.signal.aborted) return;
        // The date of a job that has run is no mistake as long as it is not changed.
        const errors = isSame ? [] : (problem.errors ?? []);
        setState({
          times: [],
          notes: errors.length || isSame ? [] : [problem.message],
          errors,
          of: trigger,
        });
      }
    }, TYPING);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [trigger]);
  return { ...state, isCurrent: state.of === trigger };
}

function Field({ label, field, errors, children, note }) {
  const name = field.replaceAll(".", "-");
  const message = messageFor(errors, field);
  return html`<div class="field ${message ? "is-wrong" : ""}">
    <label for=${name}>${label}</label>
    ${children({ id: name, "aria-invalid": message ? "true" : null, "aria-describedby": `${name}-error ${name}-note` })}
    <p class="error" id=${`${name}-error`}>${message && html`<${Text} of=${message} />`}</p>
    ${note && html`<p class="note" id=${`${name}-note`}>${note}</p>`}
  </div>`;
}

function What({ draft, set, errors, id }) {
  const input = (name) => (event) => set({ [name]: event.target.value });
  return html`<fieldset>
    <legend>What</legend>
    <${Field} label="Name" field="name" errors=${errors}>
      ${(of) => html`<input ...${of} type="text" value=${draft.name} maxlength="200" autocomplete="off" onInput=${input("name")} />`}
    <//>
    <div class="pair method-url">
      <${Field} label="Method" field="request.method" errors=${errors}>
        ${(of) => html`<select ...${of} value=${draft.method} onChange=${input("method")}>${METHODS.map((each) => html`<option>${each}</option>`)}</select>`}
      <//>
      <${Field} label="URL" field="request.url" errors=${errors}>
        ${(of) => html`<input ...${of} type="text" inputmode="url" spellcheck=${false} autocomplete="off" placeholder="https://" value=${draft.url} onInput=${input("url")} />`}
      <//>
    </div>
    <${Pairs} label="Headers" one="header" field="request.headers" errors=${errors} pairs=${draft.headers} onChange=${(headers) => set({ headers })} />
    <div class="field">
      <span class="label-text" id="body-kind">Body</span>
      <${Choice} name="bodyKind" labelled="body-kind" value=${draft.bodyKind} options=${{ none: "None", json: "JSON", text: "Text" }} onChange=${(bodyKind) => set({ bodyKind })} />
    </div>
    ${
      draft.bodyKind !== "none" &&
      html`<${Field} label=${draft.bodyKind === "json" ? "JSON" : "Text"} field="request.body" errors=${errors}>
      ${(of) => html`<textarea ...${of} rows="6" spellcheck=${false} value=${draft.body} onInput=${input("body")}></textarea>`}
    <//>`
    }
    ${draft.bodyKind === "none" && messageFor(errors, "request.body") && html`<p class="error">${messageFor(errors, "request.body")}</p>`}
    <${Pairs} label="Labels" one="label" field="labels" errors=${errors} pairs=${draft.labels} onChange=${(labels) => set({ labels })} />
    ${
      id
        ? draft.key &&
          html`<p class="note">Key <code>${draft.key}</code>: it cannot be changed.</p>`
        : html`<${Field} label="Key (optional)" field="key" errors=${errors} note="Your own name for the job. It is unique and cannot be changed.">
          ${(of) => html`<input ...${of} type="text" spellcheck=${false} autocomplete="off" value=${draft.key} onInput=${input("key")} />`}
        <//>`
    }
  </fieldset>`;
}

function When({ draft, set, errors, preview }) {
  const input = (name) => (event) => set({ [name]: event.target.value });
  const words = draft.kind === "cron" ? cronWords(draft.cron) : null;
  return html`<fieldset>
    <legend>When</legend>
    <div class="field">
      <span class="label-text" id="kind-label">Trigger</span>
      <${Choice} name="kind" labelled="kind-label" value=${draft.kind} options=${{ cron: "Cron", date: "Date", delay: "Delay" }} onChange=${(kind) => set({ kind })} />
    </div>
    <div class="pair">
      ${
        draft.kind === "cron" &&
        html`<${Field} label="Cron" field="trigger.cron" errors=${errors} note=${words}>
        ${(of) => html`<input ...${of} type="text" class="mono" spellcheck=${false} autocomplete="off" value=${draft.cron} onInput=${input("cron")} />`}
      <//>`
      }
      ${
        draft.kind === "date" &&
        html`<${Field} label="Date" field="trigger.date" errors=${errors}>
        ${(of) => html`<input ...${of} type="datetime-local" step="1" value=${draft.date} onInput=${input("date")} />`}
      <//>`
      }
      ${
        draft.kind === "delay" &&
        html`<${Field} label="Seconds from now" field="trigger.delay" errors=${errors}>
        ${(of) => html`<input ...${of} type="text" inputmode="decimal" value=${draft.delay} onInput=${input("delay")} />`}
      <//>`
      }
      ${
        draft.kind !== "delay" &&
        html`<${Field} label="Time zone" field="trigger.timezone" errors=${errors}>
        ${(
          of,
        ) => html`<input ...${of} type="text" list="zones" spellcheck=${false} autocomplete="off" value=${draft.timezone} onInput=${input("timezone")} />
          <datalist id="zones">${ZONES.map((zone) => html`<option value=${zone}></option>`)}</datalist>`}
      <//>`
      }
    </div>
    ${errors.filter((error) => error.field === "trigger").map((error) => html`<p class="error">${error.message}</p>`)}
    <${Occurrences} preview=${preview} draft=${draft} />
  </fieldset>`;
}

function Occurrences({ preview, draft }) {
  const now = useNow();
  const zone = draft.kind === "cron" ? draft.timezone : ZONE;
  const differs = preview.times.some(
    (time) => valid(zone) && moment(time, now, zone) !== moment(time, now),
  );
  return html`<div class="occurrences ${preview.isCurrent ? "" : "is-old"}" role="status" aria-label="Next occurrences">
    ${
      preview.times.length > 0 &&
      html`<ol>
      ${preview.times.map(
        (time) =>
          html`<li><span>${moment(time, now)}</span>${differs && html`<span class="note">${elsewhere(time, now, zone)} in ${city(zone)}</span>`}<span class="note">${relative(time, now)}</span></li>`,
      )}
    </ol>`
    }
    ${preview.notes.map((note) => html`<p class="note">${note}</p>`)}
  </div>`;
}

function valid(zone) {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: zone }));
  } catch {
    return false;
  }
}

function How({ draft, set, errors }) {
  const input = (name) => (event) => set({ [name]: event.target.value });
  const seconds = (
    label,
    field,
    name,
    note,
  ) => html`<${Field} label=${label} field=${field} errors=${errors} note=${note}>
    ${(of) => html`<input ...${of} type="text" inputmode="numeric" value=${draft[name]} onInput=${input(name)} />`}
  <//>`;
  return html`<fieldset>
    <legend>How</legend>
    <div class="triple">
      ${seconds("Timeout, seconds", "timeout", "timeout")}
      ${seconds("Attempts", "retry.max_attempts", "max_attempts")}
      ${seconds("First retry after, s", "retry.initial_delay", "initial_delay")}
      ${seconds("Longest delay, s", "retry.max_delay", "max_delay")}
      ${seconds("Misfire grace, s", "misfire_grace", "misfire_grace")}
      <${Field} label="Overlap" field="overlap" errors=${errors}>
        ${(of) => html`<select ...${of} value=${draft.overlap} onChange=${input("overlap")}><option value="allow">allow</option><option value="skip">skip</option></select>`}
      <//>
    </div>
    <p class="note">Misfire grace: how late a run may still be sent. Empty: a date always, a cron until its next occurrence.</p>
  </fieldset>`;
}

function Choice({ name, value, options, onChange, labelled }) {
  return html`<div class="choice" role="radiogroup" aria-labelledby=${labelled}>
    ${Object.entries(options).map(
      ([option, words]) =>
        html`<label><input type="radio" name=${name} value=${option} checked=${value === option} onChange=${() => onChange(option)} /><span>${words}</span></label>`,
    )}
  </div>`;
}

function Pairs({ label, one, field, errors, pairs, onChange }) {
  const name = field.replaceAll(".", "-");
  const message = messageFor(errors, field);
  const change = (place, changed) =>
    onChange(pairs.map((pair, at) => (at === place ? { ...pair, ...changed } : pair)));
  return html`<div class="field" role="group" aria-label=${label}>
    ${pairs.length > 0 && html`<span class="label-text">${label}</span>`}
    ${pairs.map(
      (pair, place) => html`<div class="pair-row" key=${place}>
        <input type="text" aria-label=${`Name of ${one} ${place + 1}`} placeholder="name" spellcheck=${false} autocomplete="off" value=${pair.name} aria-invalid=${message ? "true" : null} onInput=${(event) => change(place, { name: event.target.value })} />
        <input type="text" aria-label=${`Value of ${one} ${place + 1}`} placeholder="value" spellcheck=${false} autocomplete="off" value=${pair.value} aria-invalid=${message ? "true" : null} onInput=${(event) => change(place, { value: event.target.value })} />
        <button type="button" class="quiet" aria-label=${`Remove ${one} ${place + 1}`} onClick=${() => onChange(pairs.filter((_, at) => at !== place))}>×</button>
      </div>`,
    )}
    <button type="button" class="quiet small" onClick=${() => onChange([...pairs, { name: "", value: "" }])}>Add a ${one}</button>
    <p class="error" id=${`${name}-error`}>${message && html`<${Text} of=${message} />`}</p>
  </div>`;
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
