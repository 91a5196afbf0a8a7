// The signing secret: shown and replaced on request alone, and programs that verify by it.

import { get, path, post } from "./api.js";
import { useState } from "./preact-hooks.js";
import { isCertain, LANGUAGES, receiver, signed, VARIABLE } from "./snippets.js";
import { replace, to, useAnswer, useNow } from "./state.js";
import { Block, Change, Confirm, Failure, html, Loading, Relative, say, Text } from "./ui.js";

// The newest jobs, of which one can be chosen.
const CHOICE = "10";

/** Show what requests are signed with. `job` is the id of the job whose request is verified. */
export function Signing({ job, language }) {
  return html`<div>
    <section aria-labelledby="signing">
      <h2 id="signing">Signing secret</h2>
      <p class="note">
        Every request is signed as <a href="https://www.standardwebhooks.com" rel="noreferrer">Standard Webhooks</a> defines.
        Your API verifies the signature by this secret.
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
  const [refused, setRefused] = useState(null);
  const [isAsking, ask] = useState(false);
  async function take(question) {
    try {
      show((await question()).data);
      setRefused(null);
      return true;
    } catch (problem) {
      setRefused(problem);
      return false;
    }
  }
  async function rotate() {
    if (await take(() => post("/signing-secret/rotate"))) say("There is a new signing secret.");
    ask(false);
  }
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
          : html`<${Change} onClick=${() => take(() => get("/signing-secret"))}>Show the signing secret<//>`
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
    <p class="note">The secret stands in the environment, as <code>${VARIABLE}</code>.</p>
    ${code && html`<${Block} text=${code} kind="code" what="a receiver that verifies" />`}
    <${Failure} error=${error} />
    ${
      jobs.length > 0 &&
      html`<div class="field">
      <label for="verified">${code ? "The last request of" : "Send again, signed anew, the last request of"}</label>
      <select id="verified" value=${chosen} onChange=${(event) => choose({ job: event.target.value })}>
        ${job && !jobs.some((each) => each.id === job) && html`<option value=${job}>${job}</option>`}
        ${jobs.map((each) => html`<option value=${each.id}>${each.name}</option>`)}
      </select>
    </div>`
    }
    ${chosen ? html`<${Last} id=${chosen} language=${language} />` : data && html`<p class="empty">Once a job has run, its last request stands here.</p>`}
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
      ${language === "curl" ? "Your API accepts it, and refuses it by another secret." : html`It prints the <code>webhook-signature</code> that your API received.`}
      ${!isCertain(job.request) && " The request names secrets, or numbers as names: put in by hand what was sent."}
      ${data.isChanged && " The job was changed since: this is its request of today."}
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
