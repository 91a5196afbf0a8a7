// The tenant's secrets: names, never values. Beside them, the signing secret.

import { call, get, path } from "./api.js";
import { useState } from "./preact-hooks.js";
import { Signing } from "./signing.js";
import { refreshAll, useAnswer, useNow } from "./state.js";
import { Change, Confirm, Copy, Failure, Heading, html, Loading, Relative, say } from "./ui.js";

const PAGE = "100";

/** Show the secrets, and what requests are signed with; `query` may name the job to verify. */
export function Secrets({ query }) {
  return html`<${Heading} title="Secrets and signing" />
    <div class="columns">
      <${Named} />
      <${Signing} job=${query.get("job")} language=${query.get("language")} />
    </div>`;
}

function Named() {
  const now = useNow();
  const [size, setSize] = useState(PAGE);
  const { data, error, at, isLoading } = useAnswer(`secrets ${size}`, (signal) =>
    get(path("/secrets", { limit: size }), signal),
  );
  const [asked, ask] = useState(/** @type {string | null} */ (null));
  const secrets = data?.data ?? [];
  return html`<section aria-labelledby="secrets">
    <h2 id="secrets">Secrets</h2>
    <p class="note">
      Write <code>{{secret:name}}</code> in a job's URL, header values or body. The value is put in
      when the request is sent, and never shown.
    </p>
    <${Put} names=${secrets.map((secret) => secret.name)} />
    <${Failure} error=${error} stale=${at} now=${now} />
    ${isLoading && html`<${Loading} rows=${3} />`}
    ${data && !secrets.length && html`<p class="empty">There are no secrets yet.</p>`}
    ${
      secrets.length > 0 &&
      html`<ul class="list secrets">
      ${secrets.map(
        (secret) => html`<li key=${secret.name} data-row>
          <code>${secret.name}</code>
          <span class="note">changed <${Relative} of=${secret.updated_at} now=${now} /></span>
          <${Copy} text=${`{{secret:${secret.name}}}`} what=${`the placeholder of ${secret.name}`} word="Copy" />
          <${Change} kind="quiet small" label=${`Delete ${secret.name}…`} onClick=${() => ask(secret.name)}>Delete…<//>
        </li>`,
      )}
    </ul>`
    }
    ${data?.next && html`<p><button type="button" onClick=${() => setSize("")}>Show more</button></p>`}
    ${asked && html`<${Removal} name=${asked} onClose=${() => ask(null)} />`}
  </section>`;
}

function Removal({ name, onClose }) {
  const [refused, setRefused] = useState(null);
  async function remove() {
    try {
      await call("DELETE", `/secrets/${name}`);
      say(`The secret ${name} was deleted.`);
      refreshAll();
      onClose();
    } catch (problem) {
      setRefused(problem);
    }
  }
  return html`<${Confirm} title="Delete this secret?" action=${`Delete ${name}`} onClose=${onClose} onConfirm=${remove}>
    <p><code>${name}</code></p>
    <p>Runs of a job that still names it fail, and say so. This cannot be undone.</p>
    <${Failure} error=${refused} />
  <//>`;
}

function Put({ names }) {
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [refused, setRefused] = useState(/** @type {any} */ (null));
  const [isUnderWay, setUnderWay] = useState(false);
  const message = (field) =>
    (refused?.errors ?? [])
      .filter((error) => error.field === field)
      .map((error) => error.message)
      .join("; ");
  async function submit(event) {
    event.preventDefault();
    if (!name || isUnderWay) return;
    setUnderWay(true);
    try {
      await call("PUT", `/secrets/${encodeURIComponent(name)}`, {
        body: JSON.stringify({ value }),
      });
      say(`The secret ${name} was saved.`);
      setName("");
      setValue("");
      setRefused(null);
      refreshAll();
    } catch (problem) {
      setRefused(problem);
    }
    setUnderWay(false);
  }
  const isOld = names.includes(name);
  return html`<form class="put" onSubmit=${submit} noValidate>
    <div class="field ${message("name") && "is-wrong"}">
      <label for="secret-name">Name</label>
      <input id="secret-name" type="text" autocomplete="off" spellcheck=${false} value=${name} aria-invalid=${message("name") ? "true" : null}
        aria-describedby="secret-name-error" onInput=${(event) => setName(event.target.value)} />
      <p class="error" id="secret-name-error">${message("name")}</p>
    </div>
    <div class="field ${message("value") && "is-wrong"}">
      <label for="secret-value">Value</label>
      <input id="secret-value" type="password" autocomplete="new-password" spellcheck=${false} value=${value} aria-invalid=${message("value") ? "true" : null}
        aria-describedby="secret-value-error" onInput=${(event) => setValue(event.target.value)} />
      <p class="error" id="secret-value-error">${message("value")}</p>
    </div>
    <${Change} type="submit" kind="primary" disabled=${!name || isUnderWay}>${isOld ? "Replace" : "Save"}<//>
    ${refused && !refused.errors?.length && html`<${Failure} error=${refused} />`}
  </form>`;
}
