// The inputs of a form, each with the errors of its field; and the fields of what a job sends.

import { messageFor, usualAttempts } from "./draft.js";
import { useLayoutEffect, useState } from "./preact-hooks.js";
import { html, Text } from "./ui.js";

const ZONES = Intl.supportedValuesOf ? ["UTC", ...Intl.supportedValuesOf("timeZone")] : ["UTC"];
const METHODS = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/** A labelled input, which `children` makes of its attributes, with its errors and a note. */
export function Field({ label, field, errors, children, note }) {
  const name = field.replaceAll(".", "-");
  const message = messageFor(errors, field);
  return html`<div class="field ${message ? "is-wrong" : ""}">
    <label for=${name}>${label}</label>
    ${children({ id: name, "aria-invalid": message ? "true" : null, "aria-describedby": `${name}-error ${name}-note` })}
    <p class="error" id=${`${name}-error`}>${message && html`<${Text} of=${message} />`}</p>
    ${note && html`<p class="note" id=${`${name}-note`}>${note}</p>`}
  </div>`;
}

/** A labelled line of text; whatever else is given are attributes of the input. */
export function Line({ label, field, errors, note = null, onChange, ...rest }) {
  return html`<${Field} label=${label} field=${field} errors=${errors} note=${note}>
    ${(of) => html`<input ...${of} type="text" spellcheck=${false} autocomplete="off" ...${rest} onInput=${(event) => onChange(event.target.value)} />`}
  <//>`;
}

/** A date and time, without a zone. */
export function Instant(attributes) {
  return html`<${Line} ...${attributes} type="datetime-local" step="1" />`;
}

/** The name of a time zone. */
export function Zone(attributes) {
  return html`<${Line} label="Time zone" list="zones" ...${attributes} />
    <datalist id="zones">${ZONES.map((name) => html`<option value=${name}></option>`)}</datalist>`;
}

/** A row of radio buttons: `options` has the words of each value. */
export function Choice({ name, value, options, onChange, labelled }) {
  return html`<div class="choice" role="radiogroup" aria-labelledby=${labelled}>
    ${Object.entries(options).map(
      ([option, words]) =>
        html`<label><input type="radio" name=${name} value=${option} checked=${value === option} onChange=${() => onChange(option)} /><span>${words}</span></label>`,
    )}
  </div>`;
}

/** A choice among `options`, which has the words of each value. */
export function Options({ label, field, errors, value, options, onChange, note = null }) {
  return html`<${Field} label=${label} field=${field} errors=${errors} note=${note}>
    ${(of) => html`<select ...${of} value=${value} onChange=${(event) => onChange(event.target.value)}>${Object.entries(options).map(([option, words]) => html`<option value=${option}>${words}</option>`)}</select>`}
  <//>`;
}

/**
 * Fields that are seldom needed: folded in unless one is used, or wrong. `fields` are their names in
 * the API.
 */
export function More({ words, isUsed, fields, errors, children }) {
  const [isOpen, open] = useState(isUsed);
  const isWrong = fields.some((field) => messageFor(errors, field));
  useLayoutEffect(() => {
    if (isUsed || isWrong) open(true);
  }, [isUsed, isWrong]);
  return html`<details class="more" open=${isOpen} onToggle=${(event) => open(event.currentTarget.open)}>
    <summary>${words}</summary>
    ${children}
  </details>`;
}

/** Pairs of a name and a value, as many as one likes; `like` is an example of each. */
export function Pairs({ label, one, field, errors, pairs, onChange, like = ["name", "value"] }) {
  const name = field.replaceAll(".", "-");
  const message = messageFor(errors, field);
  const change = (place, changed) =>
    onChange(pairs.map((pair, at) => (at === place ? { ...pair, ...changed } : pair)));
  return html`<div class="field" role="group" aria-label=${label}>
    ${pairs.length > 0 && html`<span class="label-text">${label}</span>`}
    ${pairs.map(
      (pair, place) => html`<div class="pair-row" key=${place}>
        <input type="text" aria-label=${`Name of ${one} ${place + 1}`} placeholder=${like[0]} spellcheck=${false} autocomplete="off" value=${pair.name} aria-invalid=${message ? "true" : null} onInput=${(event) => change(place, { name: event.target.value })} />
        <input type="text" aria-label=${`Value of ${one} ${place + 1}`} placeholder=${like[1]} spellcheck=${false} autocomplete="off" value=${pair.value} aria-invalid=${message ? "true" : null} onInput=${(event) => change(place, { value: event.target.value })} />
        <button type="button" class="quiet" aria-label=${`Remove ${one} ${place + 1}`} onClick=${() => onChange(pairs.filter((_, at) => at !== place))}>×</button>
      </div>`,
    )}
    <button type="button" class="quiet small" onClick=${() => onChange([...pairs, { name: "", value: "" }])}>Add a ${one}</button>
    <p class="error" id=${`${name}-error`}>${message && html`<${Text} of=${message} />`}</p>
  </div>`;
}

/** The fields of a request, and of what names the job. */
export function What({ draft, set, errors, id }) {
  const input = (name) => (event) => set({ [name]: event.target.value });
  return html`<fieldset>
    <legend>What</legend>
    <${Line} label="Name" field="name" errors=${errors} value=${draft.name} maxlength="200" spellcheck=${true} onChange=${(name) => set({ name })} />
    <div class="pair method-url">
      <${Field} label="Method" field="request.method" errors=${errors}>
        ${(of) => html`<select ...${of} value=${draft.method} onChange=${input("method")}>${METHODS.map((each) => html`<option>${each}</option>`)}</select>`}
      <//>
      <${Line} label="URL" field="request.url" errors=${errors} value=${draft.url} inputmode="url" placeholder="https://" onChange=${(url) => set({ url })} />
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
        : html`<${Line} label="Key (optional)" field="key" errors=${errors} value=${draft.key} note="Your own name for the job. It is unique and cannot be changed." onChange=${(key) => set({ key })} />`
    }
  </fieldset>`;
}

/** The fields of attempts and policies. */
export function How({ draft, set, errors }) {
  const line = (label, field, name, more = {}) =>
    html`<${Line} label=${label} field=${field} errors=${errors} value=${draft[name]} inputmode="numeric" ...${more} onChange=${(text) => set({ [name]: text })} />`;
  const optional = { inputmode: "url", placeholder: "URL (optional)" };
  return html`<fieldset>
    <legend>How</legend>
    <div class="pair rows">
      ${line("Timeout, s", "timeout", "timeout", { note: "Of each attempt." })}
      ${line("Attempts", "retry.max_attempts", "max_attempts", { note: "The first one included." })}
      ${!draft.delays.trim() && line("First retry after, s", "retry.initial_delay", "initial_delay", { note: "Each further delay is twice as long." })}
      ${!draft.delays.trim() && line("Longest delay, s", "retry.max_delay", "max_delay")}
      ${line("Misfire grace, s", "misfire_grace", "misfire_grace", { note: "How late a run may be and still be sent. Empty: one-time jobs always, others until the next occurrence." })}
      ${line("Pause after failed runs", "pause_after", "pause_after", { note: "In a row. Empty: never." })}
      <${Options} label="Overlap" field="overlap" errors=${errors} value=${draft.overlap} options=${{ allow: "allow: send it", skip: "skip it" }} note="When it is due while its previous run is unfinished." onChange=${(overlap) => set({ overlap })} />
    </div>
    ${line("Post a run that succeeded to", "callbacks.succeeded.url", "on_succeeded", optional)}
    ${line("Post a run that failed to", "callbacks.failed.url", "on_failed", optional)}
    <${Rules} draft=${draft} set=${set} errors=${errors} />
  </fieldset>`;
}

/** What counts as success, and how else a run is retried. */
function Rules({ draft, set, errors }) {
  const {
    delays,
    never,
    success_status: status,
    success_contains: contains,
    success_json: json,
  } = draft;
  const isCalled = draft.completion === "callback";
  const line = (label, field, name, more) =>
    html`<${Line} label=${label} field=${field} errors=${errors} value=${draft[name]} onChange=${(text) => set({ [name]: text })} ...${more} />`;
  // The attempts follow the delays until they are given.
  const setDelays = (text) =>
    set({
      delays: text,
      ...(draft.max_attempts === usualAttempts(delays) && { max_attempts: usualAttempts(text) }),
    });
  return html`<${More} words="More: what counts as success, delays, what is not retried, completion, flow" fields=${["success", "retry.delays", "retry.never", "completion", "deadline", "flow"]} errors=${errors}
    isUsed=${Boolean(delays || never || status || contains || json.length || isCalled || draft.flow)}>
    <div class="pair">
      ${line("Statuses that are a success", "success.status", "success_status", { placeholder: "200-299, 404" })}
      ${line("The answer's body contains", "success.body_contains", "success_contains")}
    </div>
    <${Pairs} label="The answer's JSON has" one="JSON value" like=${["/state", "done"]} field="success.json" errors=${errors} pairs=${json} onChange=${(success_json) => set({ success_json })} />
    ${errors.map((error) => error.field === "success" && html`<p class="error">${error.message}</p>`)}
    <p class="note">All conditions given must hold; any other answer is retried. Names are JSON Pointers, such as /state; a value that is not JSON is taken as text.</p>
    <div class="pair">
      ${line("Delays between attempts, s", "retry.delays", "delays", { placeholder: "5, 60, 600", onChange: setDelays, note: "Separated by commas; the last one is repeated." })}
      ${line("Never retried", "retry.never", "never", { placeholder: "timeout, 503", note: "Outcomes and statuses, separated by commas." })}
    </div>
    <div class="pair">
      <${Options} label="An attempt ends" field="completion" errors=${errors} value=${draft.completion} options=${{ response: "with the target's answer", callback: "when the target calls back" }} onChange=${(completion) => set({ completion })} />
      ${isCalled && line("Must call back within, s", "deadline", "deadline", { inputmode: "numeric", note: html`To the URL in the header <code>Resona-Complete-Url</code>.` })}
      ${line("Flow", "flow", "flow", { placeholder: "that of its host", note: "Its limits hold for the job." })}
    </div>
  <//>`;
}
