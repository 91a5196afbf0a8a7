// One job or notice: what it sends and when, its runs with their attempts, and what can be done to it.

import { Actions, Standing } from "./actions.js";
import { get, path, to, useAnswer, useNow } from "./api.js";
import { About, DELIVERY } from "./channels.js";
import { curl } from "./curl.js";
import {
  duration,
  hexDump,
  laidOut,
  readable,
  relative,
  seconds,
  whole,
  why,
  ZONE,
} from "./format.js";
import { JobStatus, Labels, Next } from "./jobs.js";
import { useState } from "./preact-hooks.js";
import { ENDED, Mend, pathOf } from "./runs.js";
import { scheduleWords, triggerWords } from "./schedule.js";
import {
  Block,
  Copy,
  Failure,
  Headers,
  Heading,
  html,
  Loading,
  Relative,
  Select,
  Status,
  Text,
  Time,
} from "./ui.js";

const PAGE = 25;
const MOST = 100;
const CAUSES = { manual: "by hand", retry: "retry", backfill: "backfill" };
const STATUSES = [
  ["", "Any status"],
  ...[...ENDED, "retrying", "running", "waiting", "queued"].map((status) => [status, status]),
];

/** Show a job or a notice; `run` is the id of the run that is open, null if none is. */
export function JobScreen({ id, run, query, isNotice = false }) {
  const now = useNow();
  const { data, error, at, isLoading } = useAnswer(`job ${id}`, (signal) =>
    get(`/jobs/${encodeURIComponent(id)}?include=recent_runs`, signal),
  );
  const [kind, base] = isNotice ? ["Notice", "/notices"] : ["Job", "/jobs"];
  if (isLoading) return html`<${Heading} title=${kind} /><${Loading} rows=${6} />`;
  if (!data || error?.status === 404) {
    return html`<${Heading} title=${kind} /><${Failure} error=${error} /><p><a href=${to(base)}>All ${kind.toLowerCase()}s</a></p>`;
  }
  const job = data.data;
  return html`
    <p class="crumbs"><a href=${to(base)}>${kind}s</a></p>
    <div class="title">
      <${Heading} title=${job.name}><${Text} of=${job.name} /><//>
      ${isNotice ? html`<${Status} of=${job.status} word=${DELIVERY[job.status]} />` : html`<${JobStatus} job=${job} />`}
    </div>
    <${Actions} job=${job} isNotice=${isNotice} />
    <${Failure} error=${error} stale=${at} now=${now} />
    ${isNotice ? html`<${About} notice=${job} now=${now} />` : html`<${Facts} job=${job} now=${now} />`}
    <div class="columns job-columns">
      <${Runs} job=${job} open=${run} query=${query} now=${now} base=${base} />
      <div>
        <${Sent} request=${job.request} />
        <${Fields} job=${job} now=${now} />
      </div>
    </div>
  `;
}

function Facts({ job, now }) {
  const failures = inARow(job.recent_runs ?? []);
  return html`<${Standing} job=${job} now=${now} />
    <p class="facts">
      <span><${Text} of=${scheduleWords(job.trigger, now)} /></span>
      ${job.next_run_time && html`<span><${Next} job=${job} now=${now} /></span>`}
      ${failures > 1 && !job.pause && html`<span class="is-late"><b>${failures}</b> failed runs in a row</span>`}
      ${Object.keys(job.labels).length > 0 && html`<span><${Labels} of=${job.labels} /></span>`}
      <span><a href=${to("/notices", { label: `job:${job.id}` })}>Notices about it</a></span>
    </p>`;
}

/** Return how many of the last runs failed, without one that succeeded after them. */
function inARow(recent) {
  const end = recent.indexOf("succeeded");
  const since = end < 0 ? recent : recent.slice(0, end);
  return since.filter((status) => status === "failed").length;
}

function Runs({ job, open, query, now, base }) {
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
      <${Select} label="Only runs with the status" value=${status} options=${STATUSES} onChange=${(
        each,
      ) => {
        location.hash = to(`${base}/${job.id}`, { status: each });
      }} />
    </div>
    <${Failure} error=${error} stale=${at} now=${now} />
    ${isLoading && html`<${Loading} rows=${4} />`}
    ${data && !isListed && html`<${Alone} job=${job} id=${open} now=${now} base=${base} />`}
    ${data && !runs.length && html`<p class="empty">${status ? "No run has this status." : "It has not run yet."} ${!status && job.next_run_time && html`It is due <${Relative} of=${job.next_run_time} now=${now} />.`}</p>`}
    ${
      runs.length > 0 &&
      html`<ul class="list runs mends">
      ${runs.map((run) => html`<${Run} key=${run.id} job=${job} run=${run} isOpen=${run.id === open} status=${status} now=${now} base=${base} />`)}
    </ul>`
    }
    ${data?.next && size < MOST && html`<p><button type="button" onClick=${() => setSize(MOST)}>Show more</button></p>`}
    ${data?.next && size >= MOST && html`<p class="note">Older runs: <code>GET /jobs/${job.id}/runs</code></p>`}
  </section>`;
}

/** A run that the list does not hold: of an address that was sent, or too old. */
function Alone({ job, id, now, base }) {
  const { data, error } = useAnswer(`run ${id}`, (signal) =>
    get(`/jobs/${job.id}/runs/${encodeURIComponent(id)}`, signal),
  );
  if (error) return html`<${Failure} error=${error} />`;
  return (
    data &&
    html`<ul class="list runs mends"><${Run} job=${job} run=${data.data} isOpen=${true} status="" now=${now} base=${base} /></ul>`
  );
}

function Run({ job, run, isOpen, status, now, base }) {
  const here = isOpen ? `${base}/${job.id}` : pathOf(job.id, run.id, base);
  const isNotice = base === "/notices";
  const took = run.attempts.reduce((sum, attempt) => sum + attempt.duration_ms, 0);
  const code = run.attempts.at(-1)?.status_code;
  return html`<li data-row class=${isOpen ? "is-open" : ""}>
    <a class="row" data-main href=${to(here, { status })} aria-expanded=${String(isOpen)} role="button" onKeyDown=${press}>
      <${Status} of=${run.status} word=${code && run.status === "succeeded" ? `succeeded ${code}` : run.status} />
      <span class="name"><${Time} of=${run.scheduled_time} now=${now} /> ${CAUSES[run.cause] && html`<span class="label">${CAUSES[run.cause]}</span>`}</span>
      <span class="at"><${Relative} of=${run.scheduled_time} now=${now} /></span>
      <span class="why">
        ${run.status !== "succeeded" && html`<${Text} of=${why(run, now, job)} />${" "}`}
        <span class="note">
          ${run.lateness_ms !== null && `Sent ${run.lateness_ms < 1 ? "on time" : `${duration(run.lateness_ms)} late`}`}
          ${run.waited_ms && `, held for ${duration(run.waited_ms)}`}
          ${run.attempts.length > 1 && `, ${run.attempts.length} attempts`}
          ${run.attempts.length > 0 && `, answered in ${duration(took)}`}
        </span>
      </span>
    </a>
    ${!isOpen && !isNotice && html`<${Mend} run=${run} />`}
    ${isOpen && html`<${Attempts} job=${job} run=${run} now=${now} isNotice=${isNotice} />`}
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

function successWords({ status, body_contains, json }) {
  const values = Object.entries(json ?? {});
  return [
    `status ${status.join(", ")}`,
    body_contains && `the body contains “${body_contains}”`,
    ...values.map(([pointer, value]) => `${pointer || "the JSON"} is ${JSON.stringify(value)}`),
  ]
    .filter(Boolean)
    .join("; ");
}

function Fields({ job, now }) {
  const { retry, success } = job;
  const fields = {
    Trigger: triggerWords(job.trigger),
    Timeout: `${seconds(job.timeout)} for each attempt`,
    Retry:
      retry.max_attempts === 1
        ? "none"
        : `${retry.max_attempts} attempts; ${retry.delays ? `delays of ${retry.delays.map(seconds).join(", ")}` : `${seconds(retry.initial_delay)} before the second, doubling to at most ${seconds(retry.max_delay)}`}`,
    "Never retried": retry.never?.join(", "),
    Success: success && html`<${Text} of=${successWords(success)} />`,
    Completion:
      job.completion && `by callback, within ${seconds(job.deadline)} of each attempt's start`,
    Flow: job.flow && html`<a href="#/flows"><${Text} of=${job.flow} /></a>`,
    Overlap:
      job.overlap === "skip"
        ? "skipped while its previous run is unfinished"
        : "sent while its previous run is unfinished",
    "Pause after":
      job.pause_after &&
      `${job.pause_after} failed scheduled ${job.pause_after === 1 ? "run" : "runs in a row"}`,
    "Callback, succeeded":
      job.callbacks?.succeeded && html`<${Text} of=${job.callbacks.succeeded.url} />`,
    "Callback, failed": job.callbacks?.failed && html`<${Text} of=${job.callbacks.failed.url} />`,
    "Misfire grace": graceWords(job),
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

/** Say how late a run may be and still be sent. */
function graceWords({ misfire_grace: grace, trigger }) {
  if (grace !== null) return seconds(grace);
  return trigger.type === "one-time" ? "none: sent however late" : "until its next occurrence";
}

/** Show every attempt of a run, with what came back, and mend it; a notice's cannot be. */
function Attempts({ job, run, now, isNotice }) {
  const isOver = ENDED.includes(run.status);
  const ask = (signal) => get(`/jobs/${job.id}/runs/${encodeURIComponent(run.id)}`, signal);
  // What has ended does not change; until then, each change of the list asks anew.
  const key = isOver ? run.id : `${run.id} ${run.status} ${run.attempts.length}`;
  const { data, error } = useAnswer(key, ask, { once: true });
  const shown = data?.data;
  return html`<div class="opened">
    <dl class="fields">
      <div><dt>Due</dt><dd title=${whole(run.scheduled_time)}>${whole(run.scheduled_time, ZONE)}</dd></div>
      ${run.started_at && html`<div><dt>Sent</dt><dd>${exact(run.started_at)}${run.lateness_ms !== null && ` (${duration(run.lateness_ms)} after)`}</dd></div>`}
      ${run.waited_ms && html`<div><dt>Held</dt><dd>${duration(run.waited_ms)}</dd></div>`}
      ${run.finished_at && html`<div><dt>${run.attempts.length ? "Finished" : "Recorded"}</dt><dd>${exact(run.finished_at)}</dd></div>`}
      ${run.next_attempt_at && html`<div><dt>Next attempt</dt><dd>${exact(run.next_attempt_at)} (${relative(run.next_attempt_at, now)})</dd></div>`}
      ${run.deadline && html`<div><dt>Must call back by</dt><dd>${exact(run.deadline)} (${relative(run.deadline, now)})</dd></div>`}
      <div><dt>Run</dt><dd><code>${run.id}</code></dd></div>
      ${["retry_of", "retried_by"].map((name) => run[name] && html`<div><dt>${name === "retry_of" ? "Retry of" : "Retried by"}</dt><dd><a href=${to(pathOf(job.id, run[name]))}>${run[name]}</a></dd></div>`)}
      ${!isNotice && isOver && html`<div><dt>Notices</dt><dd><a href=${to("/notices", { label: `run:${run.id}` })}>Who was told of it</a></dd></div>`}
    </dl>
    ${!isNotice && html`<${Mend} run=${run} isWhole=${true} />`}
    <${Failure} error=${error} />
    ${!shown && !error && html`<${Loading} rows=${2} />`}
    ${shown && shown.attempts.length === 0 && html`<p class="empty">Nothing was sent.</p>`}
    ${shown && html`<${Bars} run=${shown} />`}
    ${shown?.attempts.map((attempt, place) => html`<${Attempt} key=${attempt.number} attempt=${attempt} before=${shown.attempts[place - 1]} now=${now} isOnly=${shown.attempts.length === 1} isWaiting=${run.status === "waiting" && place === shown.attempts.length - 1} />`)}
  </div>`;
}

function exact(iso) {
  const milliseconds = iso.slice(19, 23);
  return whole(iso).replace(/(:\d\d:\d\d)/, `$1${milliseconds}`);
}

/** The attempts on one line of time, from the due time to the last answer. */
function Bars({ run }) {
  if (run.attempts.length < 2) return null;
  const starts = run.attempts.map((attempt) => new Date(attempt.started_at).getTime());
  const ends = run.attempts.map((attempt, place) => starts[place] + attempt.duration_ms);
  const from = Math.min(new Date(run.scheduled_time).getTime(), ...starts);
  const width = Math.max(...ends) - from || 1;
  return html`<div class="bars" aria-hidden="true">
    ${run.attempts.map(
      (
        attempt,
        place,
      ) => html`<i class=${attempt.outcome === "success" ? "succeeded" : "failed"} title=${`Attempt ${attempt.number}: ${duration(attempt.duration_ms)}`}
        style=${{ left: `${((starts[place] - from) / width) * 99}%`, width: `max(3px, ${(attempt.duration_ms / width) * 99}%)` }}></i>`,
    )}
  </div>`;
}

/** How long after the attempt before one was sent. */
function gap(attempt, before) {
  const ended = Date.parse(before.started_at) + before.duration_ms;
  return `, ${duration(Math.max(0, Date.parse(attempt.started_at) - ended))} after attempt ${before.number}`;
}

function Attempt({ attempt, before, now, isOnly, isWaiting }) {
  const { response } = attempt;
  const outcome = isWaiting ? "waiting" : attempt.outcome === "success" ? "succeeded" : "failed";
  return html`<section class="attempt" aria-label=${`Attempt ${attempt.number}`}>
    <p>
      <${Status} of=${outcome} word=${attempt.status_code ? String(attempt.status_code) : attempt.outcome.replaceAll("_", " ")} />
      ${!isOnly && html`<b>Attempt ${attempt.number}</b>`}
      <span class="note"><${Time} of=${attempt.started_at} now=${now} />, ${duration(attempt.duration_ms)}${before && gap(attempt, before)}</span>
      ${attempt.error && html`<span class="why"><${Text} of=${readable(attempt.error)} /></span>`}
      ${attempt.message && !attempt.error && html`<span class="why">The target said: <${Text} of=${attempt.message} /></span>`}
    </p>
    ${response && html`<${Headers} of=${response.headers} /><${Body} of=${response} />`}
  </section>`;
}

function Body({ of }) {
  const note = of.truncated
    ? html`<p class="note">There was more: the first 16 KiB of a body and 8 KiB of headers are kept.</p>`
    : null;
  if (!of.body) return html`<p class="note">The answer had no body.</p>${note}`;
  if (of.encoding === "base64")
    return html`<${Block} text=${hexDump(of.body)} what="body, in hexadecimal" kind="dump" />${note}`;
  return html`<${Block} text=${laidOut(of.body) ?? of.body} what="body of the answer" />${note}`;
}
