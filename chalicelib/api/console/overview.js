// The first screen: what went wrong, and what comes next.

import { get, path, url } from "./api.js";
import { Axis, fitting, SPAN_WORDS, SPANS, when } from "./axis.js";
import { relative, scheduleWords, why } from "./format.js";
import { useState } from "./preact-hooks.js";
import { to, useAnswer, useNow } from "./state.js";
import {
  Block,
  ChangeLink,
  Failure,
  Heading,
  html,
  Loading,
  Relative,
  Status,
  Text,
  Time,
} from "./ui.js";

// A job this long past its due time is overdue; sooner it may be on its way.
const LATE = 15_000;
const DAY = 86_400_000;
const SHOWN = 20;

/** Show what went wrong last, what comes due, and what does not run. */
export function Overview({ query }) {
  const now = useNow();
  const [size, setSize] = useState(SHOWN);
  const jobs = useAnswer("jobs", (signal) => get("/jobs", signal));
  const wrong = useAnswer(`wrong ${size}`, (signal) =>
    get(path("/runs", { limit: String(size) }), signal),
  );
  const error = jobs.error || wrong.error;
  if (!jobs.data || (!wrong.data && size === SHOWN)) {
    return html`<${Heading} title="Overview" />
      ${error ? html`<${Failure} error=${error} />` : html`<${Loading} rows=${6} />`}`;
  }
  const all = jobs.data.data;
  const runs = wrong.data?.data ?? [];
  if (all.length === 0 && runs.length === 0) return html`<${First} />`;
  const facts = sorted(all, now);
  const names = new Map(all.map((job) => [job.id, job.name]));
  return html`
    <${Verdict} runs=${runs} facts=${facts} now=${now} hasMore=${Boolean(wrong.data?.next)} />
    <${Failure} error=${error} stale=${jobs.at} now=${now} />
    <${Line} facts=${facts} runs=${runs} all=${all} names=${names} now=${now} query=${query} />
    <div class="columns">
      <section aria-labelledby="wrong">
        <h2 id="wrong">Went wrong</h2>
        <${Wrong} runs=${runs} names=${names} now=${now} isPartial=${Boolean(jobs.data.next)} />
        ${
          wrong.data?.next &&
          size < 100 &&
          html`<p><button type="button" onClick=${() => setSize(100)}>Show more</button></p>`
        }
      </section>
      <div>
        ${
          facts.overdue.length > 0 &&
          html`<section aria-labelledby="overdue">
          <h2 id="overdue">Overdue</h2>
          <${Due} jobs=${facts.overdue} now=${now} kind="overdue" />
        </section>`
        }
        <section aria-labelledby="due">
          <h2 id="due">Due next</h2>
          ${
            facts.next.length
              ? html`<${Due} jobs=${facts.next.slice(0, 10)} now=${now} kind="active" />`
              : html`<p class="empty">Nothing is due. <a href="#/jobs/new">Register a job</a>, or resume one.</p>`
          }
        </section>
        ${
          facts.paused.length > 0 &&
          html`<section aria-labelledby="paused">
          <h2 id="paused">Paused</h2>
          <${Due} jobs=${facts.paused.slice(0, 10)} now=${now} kind="paused" />
          ${facts.paused.length > 10 && html`<p><a href=${to("/jobs", { status: "paused" })}>All ${facts.paused.length}</a></p>`}
        </section>`
        }
      </div>
    </div>
    ${jobs.data.next && html`<p class="note">There are more jobs than one answer holds: this shows the ${all.length} newest.</p>`}
  `;
}

function sorted(all, now) {
  const due = all
    .filter((job) => job.next_run_time)
    .sort((a, b) => new Date(a.next_run_time) - new Date(b.next_run_time));
  const isOverdue = (job) => new Date(job.next_run_time) < now - LATE;
  return {
    overdue: due.filter(isOverdue),
    next: due.filter((job) => !isOverdue(job)),
    paused: all.filter((job) => job.status === "paused"),
    active: all.filter((job) => job.status === "active").length,
  };
}

function Verdict({ runs, facts, now, hasMore }) {
  const recent = runs.filter((run) => now - new Date(run.finished_at ?? run.scheduled_time) < DAY);
  const failed = recent.filter((run) => run.status === "failed").length;
  const missed = recent.length - failed;
  const atLeast = hasMore && recent.length === runs.length ? "at least " : "";
  const parts = [
    failed && `${failed} ${failed === 1 ? "run" : "runs"} failed`,
    missed && `${missed} ${missed === 1 ? "run was" : "runs were"} missed`,
  ].filter(Boolean);
  const next = facts.next[0];
  return html`<${Heading} title="Overview">
      ${
        parts.length
          ? html`<${Status} of=${failed ? "failed" : "missed"} word="" /> ${atLeast}${parts.join(" and ")} in the last 24 hours`
          : facts.overdue.length
            ? html`<${Status} of="overdue" word="" /> ${facts.overdue.length} overdue`
            : html`<${Status} of="succeeded" word="" /> Nothing went wrong in the last 24 hours`
      }
    <//>
    <p class="facts">
      <a href=${to("/jobs", { status: "active" })}><b>${facts.active}</b> active</a>
      <a href=${to("/jobs", { status: "paused" })}><b>${facts.paused.length}</b> paused</a>
      <span class=${facts.overdue.length ? "is-late" : ""}><b>${facts.overdue.length}</b> overdue</span>
      ${next && html`<span>next: <a href=${to(`/jobs/${next.id}`)}><${Text} of=${next.name} /></a>${" "}<b>${relative(next.next_run_time, now)}</b></span>`}
    </p>`;
}

function Line({ facts, runs, all, names, now, query }) {
  const ahead = [...facts.overdue, ...facts.next];
  const times = ahead.map((job) => new Date(job.next_run_time).getTime());
  const span = SPANS[query.get("span")] ? query.get("span") : fitting(times, now);
  const wrong = new Set(runs.map((run) => run.id));
  const marks = [
    ...runs.map((run) => ({
      at: new Date(run.scheduled_time).getTime(),
      kind: run.status,
      title: `${names.get(run.job_id) || run.job_id}: ${why(run, now)} ${when(run.scheduled_time, now)}`,
      href: to(`/jobs/${run.job_id}/runs/${run.id}`),
    })),
    ...all
      .filter((job) => job.result && !wrong.has(job.result.run_id))
      .map((job) => ({
        at: new Date(job.result.scheduled_time).getTime(),
        kind: job.result.status,
        title: `${job.name}: last ${job.result.status}, ${when(job.result.scheduled_time, now)}`,
        href: to(`/jobs/${job.id}/runs/${job.result.run_id}`),
      })),
    ...ahead.map((job, place) => ({
      at: times[place],
      kind: place < facts.overdue.length ? "overdue" : "due",
      title: `${job.name}: due ${when(job.next_run_time, now)}`,
      href: to(`/jobs/${job.id}`),
    })),
  ];
  const inSpan = times.filter((time) => time - now <= SPANS[span]).length;
  const label = `${SPAN_WORDS[span]} before and after now: ${runs.length} runs went wrong, ${inSpan} jobs come due. The lists below name them.`;
  return html`<section class="line" aria-label="Time axis">
    <div class="legend">
      <span><i class="mark failed"></i>failed</span>
      <span><i class="mark missed"></i>missed</span>
      <span><i class="mark succeeded"></i>last success</span>
      <span><i class="mark due"></i>next due</span>
      <span class="grow"></span>
      <nav class="spans" aria-label="Span of the axis">
        ${Object.keys(SPANS).map((name) => html`<a href=${to("/", { span: name })} aria-current=${name === span ? "true" : null} title=${SPAN_WORDS[name]}>${name}</a>`)}
      </nav>
    </div>
    <${Axis} marks=${marks} now=${now} span=${span} label=${label} />
  </section>`;
}

function Wrong({ runs, names, now }) {
  if (!runs.length)
    return html`<p class="empty"><${Status} of="succeeded" word="" /> No run has failed or was missed.</p>`;
  return html`<ul class="list">
    ${runs.map((run) => {
      const ended = run.finished_at ?? run.scheduled_time;
      return html`<li key=${run.id} data-row>
        <a class="row" data-main href=${to(`/jobs/${run.job_id}/runs/${run.id}`)}>
          <${Status} of=${run.status} />
          <span class="name"><${Text} of=${names.get(run.job_id) || run.job_id} /></span>
          <span class="at"><${Relative} of=${ended} now=${now} /></span>
          <span class="why"><${Text} of=${why(run, now)} /> <span class="note">Due <${Time} of=${run.scheduled_time} now=${now} />.</span></span>
        </a>
      </li>`;
    })}
  </ul>`;
}

function Due({ jobs, now, kind }) {
  return html`<ul class="list">
    ${jobs.map(
      (job) => html`<li key=${job.id} data-row>
        <a class="row" data-main href=${to(`/jobs/${job.id}`)}>
          <${Status} of=${kind} bare=${true} />
          <span class="name"><${Text} of=${job.name} /></span>
          <span class="at">${job.next_run_time ? html`<${Relative} of=${job.next_run_time} now=${now} />` : "paused"}</span>
          <span class="why note">
            <${Text} of=${scheduleWords(job.trigger, now)} />${job.next_run_time && job.trigger.type === "cron" && html` · <${Time} of=${job.next_run_time} now=${now} />`}
          </span>
        </a>
      </li>`,
    )}
  </ul>`;
}

function First() {
  const job = {
    name: "My first job",
    request: { url: url("/health"), method: "GET" },
    trigger: { delay: 5 },
  };
  const command = `curl -s ${url("/jobs")} -H 'Content-Type: application/json' -d '${JSON.stringify(job)}'`;
  return html`<div class="first">
    <${Heading} title="There are no jobs yet" />
    <p>
      A job is a request and the time to send it. Paste this into a terminal: five seconds later
      Resona sends the request, and this page shows what came back.
    </p>
    <${Block} text=${command} what="the first job as curl" />
    <p class="buttons"><${ChangeLink} kind="primary" href=${to("/jobs/new", { first: "1" })}>Or register it by a form<//></p>
  </div>`;
}
