// One job: what it sends and when, its runs, and what can be done to it.

import { call, get, path, post } from "./api.js";
import { curl } from "./curl.js";
import { duration, whole, why } from "./format.js";
import { Labels, Next } from "./jobs.js";
import { useState } from "./preact-hooks.js";
import { Attempts } from "./run.js";
import { scheduleWords } from "./schedule.js";
import { refreshAll, to, useAnswer, useNow } from "./state.js";
import {
  Block,
  Change,
  ChangeLink,
  ConfirmDelete,
  Copy,
  Failure,
  Headers,
  Heading,
  html,
  Loading,
  Relative,
  Status,
  say,
  Text,
  Time,
} from "./ui.js";

const PAGE = 25;
const MOST = 100;
const RUN_STATUSES = ["succeeded", "failed", "missed", "skipped", "retrying", "running", "queued"];

/** Show a job; `run` is the id of the run that is open, null if none is. */
export function JobScreen({ id, run, query }) {
  const now = useNow();
  const { data, error, at, isLoading } = useAnswer(`job ${id}`, (signal) =>
    get(`/jobs/${encodeURIComponent(id)}`, signal),
  );
  if (isLoading) return html`<${Heading} title="Job" /><${Loading} rows=${6} />`;
  if (!data || error?.status === 404) {
    return html`<${Heading} title="Job" /><${Failure} error=${error} /><p><a href="#/jobs">All jobs</a></p>`;
  }
  const job = data.data;
  return html`
    <p class="crumbs"><a href="#/jobs">Jobs</a></p>
    <div class="title">
      <${Heading} title=${job.name}><${Text} of=${job.name} /><//>
      <${Status} of=${job.status} />
    </div>
    <${Actions} job=${job} />
    <${Failure} error=${error} stale=${at} now=${now} />
    <p class="facts">
      <span><${Text} of=${scheduleWords(job.trigger, now)} /></span>
      ${job.next_run_time && html`<span><${Next} job=${job} now=${now} /></span>`}
      ${Object.keys(job.labels).length > 0 && html`<span><${Labels} of=${job.labels} /></span>`}
    </p>
    <div class="columns job-columns">
      <${Runs} job=${job} open=${run} query=${query} now=${now} />
      <div>
        <${Sent} request=${job.request} />
        <${Fields} job=${job} now=${now} />
      </div>
    </div>
  `;
}

function Actions({ job }) {
  const [isAsking, ask] = useState(false);
  const [refused, setRefused] = useState(null);
  const [isUnderWay, setUnderWay] = useState(false);
  async function act(word, does) {
    setUnderWay(true);
    try {
      await does();
      setRefused(null);
      say(word);
      refreshAll();
    } catch (problem) {
      setRefused(problem);
    }
    setUnderWay(false);
  }
  async function remove() {
    await act("The job was deleted.", async () => {
      await call("DELETE", `/jobs/${job.id}`);
      location.hash = "#/jobs";
    });
    ask(false);
  }
  const isPaused = job.status === "paused";
  const turn = isPaused ? "resume" : "pause";
  const canTurn = isPaused || job.status === "active";
  return html`<div class="buttons actions">
      <${Change} kind="primary" disabled=${isUnderWay} onClick=${() => act("It is sent now.", () => post(`/jobs/${job.id}/run`))}>Run now<//>
      ${
        canTurn &&
        html`<${Change} disabled=${isUnderWay} onClick=${() => act(isPaused ? "The job was resumed." : "The job was paused.", () => post(`/jobs/${job.id}/${turn}`))}>
        ${isPaused ? "Resume" : "Pause"}
      <//>`
      }
      <${ChangeLink} href=${to(`/jobs/${job.id}/edit`)}>Edit<//>
      <${ChangeLink} href=${to("/jobs/new", { from: job.id })}>Duplicate<//>
      <${Change} kind="danger" onClick=${() => ask(true)}>Delete…<//>
    </div>
    <${Failure} error=${refused} />
    ${isAsking && html`<${ConfirmDelete} jobs=${[job]} onClose=${() => ask(false)} onConfirm=${remove} />`}`;
}

function Runs({ job, open, query, now }) {
  const [size, setSize] = useState(PAGE);
  const status = query.get("status") || "";
  const question = path(`/jobs/${job.id}/runs`, { limit: String(size), status });
  const { data, error, at, isLoading } = useAnswer(`${job.id} ${status} ${size}`, (signal) =>
    get(question, signal),
  );
  const runs = data?.data ?? [];
  const isListed = !open || runs.some((run) => run.id === open);
  return html`<section aria-labelledby="runs">
    <div class="title">
      <h2 id="runs">Runs</h2>
      <select aria-label="Only runs with the status" value=${status} onChange=${(event) => {
        location.hash = to(`/jobs/${job.id}`, { status: event.target.value });
      }}>
        <option value="">Any status</option>
        ${RUN_STATUSES.map((each) => html`<option value=${each}>${each}</option>`)}
      </select>
    </div>
    <${Failure} error=${error} stale=${at} now=${now} />
    ${isLoading && html`<${Loading} rows=${4} />`}
    ${data && !isListed && html`<${Alone} job=${job} id=${open} now=${now} />`}
    ${data && !runs.length && html`<p class="empty">${status ? "No run has this status." : "It has not run yet."} ${!status && job.next_run_time && html`It is due <${Relative} of=${job.next_run_time} now=${now} />.`}</p>`}
    ${
      runs.length > 0 &&
      html`<ul class="list runs">
      ${runs.map((run) => html`<${Run} key=${run.id} job=${job} run=${run} isOpen=${run.id === open} status=${status} now=${now} />`)}
    </ul>`
    }
    ${data?.next && size < MOST && html`<p><button type="button" onClick=${() => setSize(MOST)}>Show more</button></p>`}
    ${data?.next && size >= MOST && html`<p class="note">Older runs: <code>GET /jobs/${job.id}/runs</code></p>`}
  </section>`;
}

/** A run that the list does not hold: of an address that was sent, or too old. */
function Alone({ job, id, now }) {
  const { data, error } = useAnswer(`run ${id}`, (signal) =>
    get(`/jobs/${job.id}/runs/${encodeURIComponent(id)}`, signal),
  );
  if (error) return html`<${Failure} error=${error} />`;
  return (
    data &&
    html`<ul class="list runs"><${Run} job=${job} run=${data.data} isOpen=${true} status="" now=${now} /></ul>`
  );
}

function Run({ job, run, isOpen, status, now }) {
  const here = isOpen ? `/jobs/${job.id}` : `/jobs/${job.id}/runs/${run.id}`;
  const took = run.attempts.reduce((sum, attempt) => sum + attempt.duration_ms, 0);
  const code = run.attempts.at(-1)?.status_code;
  return html`<li data-row class=${isOpen ? "is-open" : ""}>
    <a class="row" data-main href=${to(here, { status })} aria-expanded=${String(isOpen)} role="button" onKeyDown=${press}>
      <${Status} of=${run.status} word=${code && run.status === "succeeded" ? `succeeded ${code}` : run.status} />
      <span class="name"><${Time} of=${run.scheduled_time} now=${now} /> ${run.cause === "manual" && html`<span class="label">by hand</span>`}</span>
      <span class="at"><${Relative} of=${run.scheduled_time} now=${now} /></span>
      <span class="why">
        ${run.status !== "succeeded" && html`<${Text} of=${why(run, now, job)} />${" "}`}
        <span class="note">
          ${run.lateness_ms !== null && `Sent ${run.lateness_ms < 1 ? "on time" : `${duration(run.lateness_ms)} late`}`}
          ${run.attempts.length > 1 && `, ${run.attempts.length} attempts`}
          ${run.attempts.length > 0 && `, answered in ${duration(took)}`}
        </span>
      </span>
    </a>
    ${isOpen && html`<${Attempts} job=${job} run=${run} now=${now} />`}
  </li>`;
}

function press(event) {
  if (event.key === " ") {
    event.preventDefault();
    event.currentTarget.click();
  }
}

function Sent({ request }) {
  const { body } = request;
  const text = typeof body === "string" ? body : JSON.stringify(body, null, 2);
  return html`<section aria-labelledby="sent">
    <div class="title"><h2 id="sent">Request</h2><${Copy} text=${curl(request)} what="the request as curl" word="Copy as curl" /></div>
    <p class="request"><b>${request.method}</b> <${Text} of=${request.url} /></p>
    <${Headers} of=${request.headers} />
    ${body !== null && html`<${Block} text=${text} what="the body that is sent" />`}
    <details><summary>As curl</summary><${Block} text=${curl(request)} what="the request as curl" copy=${false} /></details>
  </section>`;
}

function clockWords(dst) {
  if (!dst) return "";
  const gap = dst.gap === "next" ? "after the gap" : "not";
  const fold = dst.fold === "both" ? "both times" : "once";
  return `; runs ${gap} if clocks skip its time, ${fold} if they repeat it`;
}

function Fields({ job, now }) {
  const { retry, trigger } = job;
  const fields = {
    Trigger:
      trigger.type === "cron"
        ? html`<code>${trigger.fields.cron}</code> ${trigger.fields.timezone}${clockWords(trigger.fields.dst)}`
        : whole(trigger.fields.date),
    Timeout: `${job.timeout} s for each attempt`,
    Retry:
      retry.max_attempts === 1
        ? "none"
        : `${retry.max_attempts} attempts; ${retry.initial_delay} s before the second, doubling to at most ${retry.max_delay} s`,
    Overlap: job.overlap === "skip" ? "skip, while its previous run is unfinished" : "allow",
    "Misfire grace": job.misfire_grace === null ? "default" : `${job.misfire_grace} s`,
    Key: job.key && html`<code><${Text} of=${job.key} /></code>`,
    Id: html`<code>${job.id}</code>`,
    Created: html`<${Time} of=${job.created_at} now=${now} />`,
    Changed: html`<${Time} of=${job.updated_at} now=${now} />`,
  };
  return html`<section aria-labelledby="fields">
    <h2 id="fields">Settings</h2>
    <dl class="fields">
      ${Object.entries(fields).map(([name, value]) => value && html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>
  </section>`;
}
