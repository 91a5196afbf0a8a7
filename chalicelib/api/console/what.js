// What a job sends, and how.

import { messageFor } from "./draft.js";
import { Choice, Field, Pairs } from "./inputs.js";
import { html } from "./ui.js";

const METHODS = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/** The fields of a request, and of what names the job. */
export function What({ draft, set, errors, id }) {
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

/** The fields of attempts and policies. */
export function How({ draft, set, errors }) {
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
