// The list of jobs.

import { PauseDialog } from "./actions.js";
import {
  address,
  call,
  EVERY,
  filtersOf,
  get,
  Problem,
  path,
  post,
  RARELY,
  refreshAll,
  replace,
  SELDOM,
  to,
  useAnswer,
  useNow,
} from "./api.js";
import { brief, city, elsewhere, moment, ZONE } from "./format.js";
import { useState } from "./preact-hooks.js";
import { scheduleWords } from "./schedule.js";
import {
  Change,
  ChangeLink,
  ConfirmDelete,
  Failure,
  Filters,
  forEach,
  Heading,
  html,
  LabelFilter,
  Loading,
  Pages,
  Relative,
  Select,
  Status,
  say,
  Text,
  Time,
  useLater,
  useSelection,
  useTyped,
} from "./ui.js";

const PAGE = "50";
// How many characters of a name are shown.
const NAME = 80;
// How many empty pages in a row are read, of 1,000 jobs each.
const PAGES = 10;
const FILTERS = ["status", "name", "label", "sort", "cursor"];
const STATUSES = [
  ["", "Any status"],
  ...["active", "paused", "completed", "failed"].map((status) => [status, status]),
];
const ORDERS = [
  ["", "Newest first"],
  ["next_run_time", "Next run first"],
];
const SORTED = { "": true, active: true };

/** Show the jobs, with filters that the address holds. */
export function Jobs({ query }) {
  const now = useNow();
  const filters = filtersOf(query, FILTERS);
  const question = path("/jobs", { limit: PAGE, include: "recent_runs", ...filters });
  const isFiltered = Boolean(filters.status || filters.name || filters.label);
  const { data, error, at, isLoading } = useAnswer(question, (signal) => found(filters, signal), {
    every: (answer) => (!isFiltered ? EVERY : answer?.pages === 1 ? SELDOM : RARELY),
  });
  const selection = useSelection();
  const jobs = data?.data ?? [];
  return html`
    <div class="title">
      <${Heading} title="Jobs" />
      <${ChangeLink} kind="primary" href="#/jobs/new">New job<//>
    </div>
    <${Search} filters=${filters} />
    <${Selection} jobs=${jobs} ...${selection} />
    <${Failure} error=${error} stale=${at} now=${now} />
    ${
      isLoading
        ? html`<${Loading} rows=${8} />`
        : jobs.length
          ? html`<${Table} jobs=${jobs} now=${now} ...${selection} />`
          : data &&
            html`<${Nothing} isFiltered=${isFiltered} next=${data.next} isFirst=${!filters.cursor} />`
    }
    <${Pages} of="jobs" path="/jobs" filters=${filters} next=${data?.next} />
  `;
}

/**
 * Ask for a page of jobs or notices: a filtered one may be empty though there are more, and leads on. Returns
 * how many pages were read, too.
 */
export async function found(filters, signal) {
  let cursor = filters.cursor;
  for (let pages = 1; ; pages += 1) {
    const question = path("/jobs", { limit: PAGE, include: "recent_runs", ...filters, cursor });
    const { data, next } = await get(question, signal);
    if (data.length || !next || pages === PAGES) return { data, next, pages };
    cursor = next;
  }
}

function Search({ filters }) {
  const [name, setName] = useTyped(filters.name);
  const change = (changes) => {
    const old = filtersOf(address().query, FILTERS);
    replace(to("/jobs", { ...old, cursor: "", ...changes }));
  };
  const later = useLater((text) => change({ name: text }));
  const type = (event) => {
    setName(event.target.value);
    later(event.target.value);
  };
  // Only active jobs are due: the API sorts no others by it.
  const pick = (status) => change(status in SORTED ? { status } : { status, sort: "" });
  const order = (sort) =>
    change(sort && !(filters.status in SORTED) ? { sort, status: "" } : { sort });
  return html`<${Filters}>
    <label>
      <span class="unseen">Name begins with</span>
      <input type="search" placeholder="Name begins with…" value=${name} onInput=${type} />
    </label>
    <${Select} label="Status" value=${filters.status} options=${STATUSES} onChange=${pick} />
    <${LabelFilter} value=${filters.label} onChange=${(label) => change({ label })} />
    <${Select} label="Order" value=${filters.sort} options=${ORDERS} onChange=${order} />
  <//>`;
}

function Selection({ jobs, selected, select }) {
  const [asked, ask] = useState("");
  const [isUnderWay, setUnderWay] = useState(false);
  const close = () => ask("");
  if (!selected.size) return null;
  // What was refreshed meanwhile is newer than what was selected.
  const chosen = [...selected.values()].map((job) => jobs.find((one) => one.id === job.id) || job);
  async function all(word, act) {
    setUnderWay(true);
    const { done, refused } = await forEach(chosen, act);
    setUnderWay(false);
    say(`${done} ${done === 1 ? "job" : "jobs"} ${word}. ${refused ?? ""}`);
    if (done) select(new Map());
    refreshAll();
    if (!done) throw new Problem(0, refused ?? "");
  }
  const remove = () => all("deleted", (job) => call("DELETE", `/jobs/${job.id}`)).catch(close);
  const pause = (body) => all("paused", (job) => post(`/jobs/${job.id}/pause`, body));
  const resume = () => all("resumed", (job) => post(`/jobs/${job.id}/resume`)).catch(close);
  return html`<div class="selection" role="region" aria-label="Selected jobs">
    <span>${selected.size} selected</span>
    <${Change} disabled=${isUnderWay} onClick=${() => ask("pause")}>Pause…<//>
    <${Change} disabled=${isUnderWay} onClick=${resume}>Resume<//>
    <${Change} kind="danger" disabled=${isUnderWay} onClick=${() => ask("delete")}>Delete…<//>
    <button type="button" class="quiet" onClick=${() => select(new Map())}>Clear</button>
    ${asked === "pause" && html`<${PauseDialog} jobs=${chosen} onClose=${close} does=${pause} />`}
    ${asked === "delete" && html`<${ConfirmDelete} jobs=${chosen} onClose=${close} onConfirm=${remove} />`}
  </div>`;
}

function Table({ jobs, now, selected, select, toggle }) {
  const isAll = jobs.every((job) => selected.has(job.id));
  return html`<table class="jobs" role="table">
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" class="pick"><input type="checkbox" aria-label="Select all on this page" checked=${isAll}
          onChange=${() => select(isAll ? new Map() : new Map(jobs.map((job) => [job.id, job])))} /></th>
        <th role="columnheader">Job</th>
        <th role="columnheader">Status</th>
        <th role="columnheader">Schedule</th>
        <th role="columnheader">Next run</th>
        <th role="columnheader">Last runs</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${jobs.map((job) => html`<${Row} key=${job.id} job=${job} now=${now} isSelected=${selected.has(job.id)} toggle=${toggle} />`)}
    </tbody>
  </table>`;
}

function Row({ job, now, isSelected, toggle }) {
  const href = to(`/jobs/${job.id}`);
  return html`<tr role="row" data-row class=${isSelected ? "is-selected" : ""}>
    <td role="cell" class="pick"><input type="checkbox" aria-label=${`Select ${job.name}`} checked=${isSelected} onChange=${() => toggle(job)} /></td>
    <td role="cell" class="what">
      <a data-main href=${href} title=${job.name}><${Text} of=${brief(job.name, NAME)} /></a>
      ${job.key && html`<code class="job-key"><${Text} of=${job.key} /></code>`}
      <${Labels} of=${job.labels} />
    </td>
    <td role="cell" class="is"><${JobStatus} job=${job} /></td>
    <td role="cell" class="schedule"><${Text} of=${scheduleWords(job.trigger, now)} /></td>
    <td role="cell" class="next"><${Next} job=${job} now=${now} /></td>
    <td role="cell" class="last"><${Last} job=${job} now=${now} /></td>
  </tr>`;
}

/** A job's status, and whether Resona paused it by itself. */
export function JobStatus({ job }) {
  const { status, pause } = job;
  return html`<${Status} of=${status} word=${pause?.by === "resona" ? `${status}: ${pause.reason}` : status} />`;
}

/** A job's labels; each leads to the jobs that have it. */
export function Labels({ of }) {
  return Object.entries(of).map(
    ([key, value]) =>
      html`<a class="label" href=${to("/jobs", { label: `${key}:${value}` })}><${Text} of=${value ? `${key}:${value}` : key} /></a>`,
  );
}

/** When a job is due: how far off, in the viewer's zone, and in the job's own beside it. */
export function Next({ job, now }) {
  const until = job.pause?.until;
  if (until) return html`<span class="note">paused until <${Time} of=${until} now=${now} /></span>`;
  if (!job.next_run_time)
    return job.status === "active"
      ? html`<span class="note">its last run is under way</span>`
      : null;
  const zone = job.trigger.fields.timezone;
  const there = zone && elsewhere(job.next_run_time, now, zone);
  const differs = zone && zone !== ZONE && !moment(job.next_run_time, now).endsWith(there);
  const isPast = Date.parse(job.next_run_time) < now;
  return html`<b>${isPast && "due "}<${Relative} of=${job.next_run_time} now=${now} /></b>${" "}
    <span class="note"><${Time} of=${job.next_run_time} now=${now} />${differs && html` · ${there} in ${city(zone)}`}${job.skips > 0 && " · skipped"}</span>`;
}

function Last({ job, now }) {
  const { result, recent_runs: runs = [] } = job;
  return html`<${Ticks} runs=${runs} />
    ${result && html`<a href=${to(`/jobs/${job.id}/runs/${result.run_id}`)}><${Status} of=${result.status} word=${result.status_code ? html`<span class="unseen">${result.status} </span>${result.status_code}` : result.status} /></a>${" "}<span class="note"><${Relative} of=${result.finished_at} now=${now} /></span>`}
    ${!result && !runs.length && html`<span class="note">none yet</span>`}`;
}

/** How the last runs ended, the newest on the right. */
export function Ticks({ runs }) {
  if (!runs.length) return null;
  const counts = Object.entries(Object.groupBy(runs, (status) => status));
  const said = counts.map(([status, found]) => `${found?.length} ${status}`).join(", ");
  const label = `Last ${runs.length === 1 ? "run" : `${runs.length} runs`}: ${said}; the newest ${runs[0]}`;
  return html`<span class="run-ticks" role="img" aria-label=${label} title=${label}>
    ${[...runs].reverse().map((status) => html`<i class=${status}></i>`)}
  </span>`;
}

function Nothing({ isFiltered, next, isFirst }) {
  if (next)
    return html`<p class="empty">None of the jobs read so far matches. The next page reads on.</p>`;
  if (isFiltered)
    return html`<p class="empty">No job matches. <a href="#/jobs">Show all jobs</a></p>`;
  if (!isFirst)
    return html`<p class="empty">There are no more jobs. <a href="#/jobs">Back to the newest</a></p>`;
  return html`<p class="empty">There are no jobs yet. <a href=${to("/jobs/new", { first: "1" })}>Register the first one</a></p>`;
}
