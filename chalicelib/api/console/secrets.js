// The tenant's secrets: names, never values. Beside them, the signing secret: shown and replaced on
// request alone, and programs that verify by it.

import { call, get, path, replace, to, useAnswer, useNow } from "./api.js";
import { bodyOf, curl } from "./curl.js";
import { messageFor } from "./draft.js";
import { useState } from "./preact-hooks.js";
import {
  Block,
  Change,
  Confirm,
  Copy,
  Failure,
  Heading,
  html,
  Loading,
  Relative,
  Text,
  useAct,
} from "./ui.js";

const PAGE = "100";
// The newest jobs, of which one can be chosen.
const CHOICE = "10";
/** The environment variable that the programs read the signing secret from. */
const VARIABLE = "SIGNING_SECRET";
const LANGUAGES = { python: "Python", javascript: "JavaScript", curl: "curl" };

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
          <${Copy} text=${`{{secret:${secret.name}}}`} what=${`the placeholder of ${secret.name}`} word="Copy placeholder" />
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
  const { act, refused } = useAct();
  const remove = () =>
    act(`The secret ${name} was deleted.`, async () => {
      await call("DELETE", `/secrets/${name}`);
      onClose();
    });
  return html`<${Confirm} title="Delete this secret?" action=${`Delete ${name}`} onClose=${onClose} onConfirm=${remove}>
    <p><code>${name}</code></p>
    <p>Runs of a job that still names it fail, and say so. This cannot be undone.</p>
    <${Failure} error=${refused} />
  <//>`;
}

function Put({ names }) {
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const { act, refused, isUnderWay } = useAct();
  const message = (field) => messageFor(refused?.errors ?? [], field);
  function submit(event) {
    event.preventDefault();
    if (!name || isUnderWay) return;
    act(`The secret ${name} was saved.`, async () => {
      await call("PUT", `/secrets/${encodeURIComponent(name)}`, {
        body: JSON.stringify({ value }),
      });
      setName("");
      setValue("");
    });
  }
  const isOld = names.includes(name);
  return html`<form class="put-secret" onSubmit=${submit} noValidate>
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

/** Show what requests are signed with. `job` is the id of the job whose request is verified. */
function Signing({ job, language }) {
  return html`<div>
    <section aria-labelledby="signing">
      <h2 id="signing">Signing secret</h2>
      <p class="note">
        Every request is signed as <a href="https://www.standardwebhooks.com" rel="noreferrer">Standard Webhooks</a> defines.
        Your API verifies the signature with this secret.
      </p>
      <${Secret} />
    </section>
    <${Verify} job=${job} language=${LANGUAGES[language] ? language : "python"} />
  </div>`;
}

// It is read on a click alone: the API creates the secret of a tenant that has none when it is read.
function Secret() {
  const now = useNow();
  const [shown, show] = useState(/** @type {any} */ (null));
  const [isAsking, ask] = useState(false);
  const { act, refused } = useAct();
  const take = (word, method, path) =>
    act(word, async () => show((await call(method, path)).data)).then(() => ask(false));
  const rotate = () => take("There is a new signing secret.", "POST", "/signing-secret/rotate");
  return html`
    ${
      shown &&
      html`<${Block} text=${shown.secret} what="the signing secret" />
      ${
        shown.previous &&
        html`<p class="note">Requests are signed with the previous secret too; it ends <${Relative} of=${shown.previous_expires_at} now=${now} />.</p>
        <${Block} text=${shown.previous} what="the previous signing secret" />`
      }`
    }
    <p class="buttons">
      ${
        shown
          ? html`<button type="button" onClick=${() => show(null)}>Hide</button>`
          : html`<${Change} onClick=${() => take("", "GET", "/signing-secret")}>Show the signing secret<//>`
      }
      <${Change} kind="danger" onClick=${() => ask(true)}>Rotate…<//>
    </p>
    <${Failure} error=${refused} />
    ${
      isAsking &&
      html`<${Confirm} title="Rotate the signing secret?" action="Rotate" onClose=${() => ask(false)} onConfirm=${rotate}>
      <p>A new secret is made. For 24 hours requests are signed with the old one too: give your API the new one by then.</p>
      <p>The secret can be rotated four times in 24 hours.</p>
    <//>`
    }`;
}

function Verify({ job, language }) {
  const { data, error } = useAnswer(
    "jobs to verify",
    (signal) => get(path("/jobs", { limit: CHOICE }), signal),
    { once: true },
  );
  const jobs = (data?.data ?? []).filter((each) => each.result);
  const chosen = job || jobs[0]?.id;
  const choose = (changed) => replace(to("/secrets", { job, language, ...changed }));
  const code = receiver(language);
  return html`<section aria-labelledby="verify">
    <div class="title">
      <h2 id="verify">Verify a signature</h2>
      <nav class="spans" aria-label="Language">
        ${Object.entries(LANGUAGES).map(([name, words]) => html`<a href=${to("/secrets", { job, language: name })} aria-current=${name === language ? "true" : null}>${words}</a>`)}
      </nav>
    </div>
    <p class="note">The code reads the signing secret from the environment variable <code>${VARIABLE}</code>.</p>
    ${code && html`<${Block} text=${code} kind="code" what="a receiver that verifies" />`}
    <${Failure} error=${error} />
    ${
      jobs.length > 0 &&
      html`<div class="field">
      <label for="verified">${code ? "The last request of" : "Send again, with a new signature, the last request of"}</label>
      <select id="verified" value=${chosen} onChange=${(event) => choose({ job: event.target.value })}>
        ${job && !jobs.some((each) => each.id === job) && html`<option value=${job}>${job}</option>`}
        ${jobs.map((each) => html`<option value=${each.id}>${each.name}</option>`)}
      </select>
    </div>`
    }
    ${chosen ? html`<${Last} id=${chosen} language=${language} />` : data && html`<p class="empty">Once a job has run, its last request is shown here.</p>`}
  </section>`;
}

/** The last request that a job has sent, and how it was signed. */
function Last({ id, language }) {
  const { data, error, isLoading } = useAnswer(
    `last request ${id}`,
    (signal) => lastOf(id, signal),
    {
      once: true,
    },
  );
  if (isLoading) return html`<${Loading} rows=${2} />`;
  if (!data) return html`<${Failure} error=${error} />`;
  const { job, sent } = data;
  if (!sent) return html`<p class="empty"><${Text} of=${job.name} /> has sent no request yet.</p>`;
  return html`<${Block} text=${signed(language, job.request, sent)} kind="code" what="the signature of its last request" />
    <p class="note">
      ${language === "curl" ? "Your API must accept it, and must refuse it with another secret." : html`It prints the <code>webhook-signature</code> that your API received.`}
      ${!isCertain(job.request) && " The request has placeholders, or numbers as names: write what was sent in their place."}
      ${data.isChanged && " The job was changed since then: this is its present request."}
    </p>`;
}

async function lastOf(id, signal) {
  const named = encodeURIComponent(id);
  const { data: job } = await get(`/jobs/${named}`, signal);
  const { data: runs } = await get(path(`/jobs/${named}/runs`, { limit: "10" }), signal);
  const run = runs.find((each) => each.attempts.length);
  const at = run?.attempts.at(-1).started_at;
  return { job, sent: run && { id: run.id, at }, isChanged: run && job.updated_at > at };
}

const RECEIVERS = {
  python: `import os
from collections.abc import Mapping

# pip install "standardwebhooks>=1.1"
from standardwebhooks import Webhook, WebhookVerificationError


def is_from_resona(body: bytes, headers: Mapping[str, str]) -> bool:
    try:
        Webhook(os.environ["${VARIABLE}"]).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: forged bytes that are no text
        return False
    return True`,
  javascript: `// npm install standardwebhooks@1.1
import { Webhook, WebhookVerificationError } from "standardwebhooks";

// The body is a string or a Buffer, as it arrived.
export function isFromResona(body, headers) {
  try {
    new Webhook(process.env.${VARIABLE}).verify(body, headers, { jsonParse: false });
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
  return true;
}`,
};

/** Return whether the request that was sent is known: no secret is in it, no order was lost. */
function isCertain(request) {
  // JavaScript puts members first whose names are whole numbers.
  const text = JSON.stringify(request);
  return !text.includes("{{secret:") && !/"\d+":/.test(text);
}

/** Return a receiver that verifies; null for curl, which receives nothing. */
function receiver(language) {
  return RECEIVERS[language] ?? null;
}

// Text as a literal of Python and of JavaScript: both know JSON's escapes.
function literal(text) {
  const hidden = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
  return JSON.stringify(text).replace(
    hidden,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Return a program that computes the signature of an attempt's request as it was sent; curl sends
 * the request again, signed anew.
 *
 * @param {string} language
 * @param {JobRequest} request
 * @param {{id: string, at: string}} sent the run's id, and when the attempt was sent
 */
function signed(language, request, { id, at }) {
  const seconds = Math.floor(Date.parse(at) / 1000);
  const body = bodyOf(request) ?? "";
  if (language === "curl") return again(request, id, body);
  if (language === "python") {
    return `import base64, hashlib, hmac, os

body = ${literal(body)}.encode()
key = base64.b64decode(os.environ["${VARIABLE}"].removeprefix("whsec_"))
signed = b"${id}.${seconds}." + body
print("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode())`;
  }
  return `import { createHmac } from "node:crypto";

const body = ${literal(body)};
const key = Buffer.from(process.env.${VARIABLE}.replace("whsec_", ""), "base64");
const signed = "${id}.${seconds}." + body;
console.log("v1," + createHmac("sha256", key).update(signed).digest("base64"));`;
}

function again(request, id, body) {
  const quoted = `'${body.replaceAll("'", "'\\''")}'`;
  const command = curl({ ...request, body: null }, [
    '-H "webhook-id: $id"',
    '-H "webhook-timestamp: $now"',
    '-H "webhook-signature: v1,$signature"',
    ...(body ? ['--data-raw "$body"'] : []),
  ]);
  return `id=${id}
now=$(date +%s)
body=${quoted}
key=$(printf %s "\${${VARIABLE}#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \\n')
signature=$(printf %s "$id.$now.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
${command}`;
}
