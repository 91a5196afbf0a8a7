// Runs of all jobs: as a list, and on a screen of their own with filters.

import { get, path } from "./api.js";
import { LabelFilter, Pages } from "./filters.js";
import { wall, why, ZONE } from "./format.js";
import { replace, to, useAnswer, useNow } from "./state.js";
import { Failure, Heading, html, Loading, Relative, Status, Text, Time } from "./ui.js";

const PAGE = "50";
const FILTERS = ["status", "label", "since", "until", "cursor"];
const STATUSES = {
  "": "Failed or missed",
  any: "Any status",
  succeeded: "succeeded",
  failed: "failed",
  missed: "missed",
  skipped: "skipped",
};

/** List runs, the last to end first: each with its job, and with why it ended so. */
export function RunList({ runs, now }) {
  return html`<ul class="list">
    ${runs.map((run) => {
      const ended = run.finished_at ?? run.scheduled_time;
      return html`<li key=${run.id} data-row>
        <a class="row" data-main href=${to(`/jobs/${run.job_id}/runs/${run.id}`)}>
          <${Status} of=${run.status} />
          <span class="name"><${Text} of=${run.job_name} /></span>
          <span class="at"><${Relative} of=${ended} now=${now} /></span>
          <span class="why"><${Text} of=${why(run, now)} /> <span class="note">Due <${Time} of=${run.scheduled_time} now=${now} />.</span></span>
        </a>
      </li>`;
    })}
  </ul>`;
}

/** Show the runs of all jobs that have ended, with filters that the address holds. */
export function Runs({ query }) {
  const now = useNow();
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) || ""]));
  const question = path("/runs", { limit: PAGE, ...filters });
  const { data, error, at, isLoading } = useAnswer(question, (signal) => get(question, signal));
  const runs = data?.data ?? [];
  return html`
    <${Heading} title="Runs" />
    <${Filters} filters=${filters} />
    <${Failure} error=${error} stale=${at} now=${now} />
    ${isLoading && html`<${Loading} rows=${8} />`}
    ${runs.length > 0 && html`<${RunList} runs=${runs} now=${now} />`}
    ${data && !runs.length && html`<${Nothing} next=${data.next} />`}
    <${Pages} of="runs" path="/runs" filters=${filters} next=${data?.next} />
    <p class="note">Runs that are not over yet stand on the screens of their jobs.</p>
  `;
}

function Filters({ filters }) {
  const change = (changes) => replace(to("/runs", { ...filters, cursor: "", ...changes }));
  const instant = (label, name) => html`<label class="with-words">
    <span>${label}</span>
    <input type="datetime-local" value=${filters[name] && wall(filters[name], ZONE).slice(0, 16)}
      onChange=${(event) => change({ [name]: event.target.value && new Date(event.target.value).toISOString().replace(".000", "") })} />
  </label>`;
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label>
      <span class="unseen">Status</span>
      <select value=${filters.status} onChange=${(event) => change({ status: event.target.value })}>
        ${Object.entries(STATUSES).map(([status, words]) => html`<option value=${status}>${words}</option>`)}
      </select>
    </label>
    <${LabelFilter} value=${filters.label} onChange=${(label) => change({ label })} />
    ${instant("Ended since", "since")} ${instant("and before", "until")}
  </form>`;
}

function Nothing({ next }) {
  return next
    ? html`<p class="empty">None of the runs read so far matches. The next page reads on.</p>`
    : html`<p class="empty">No run matches. Runs are kept for 30 days. <a href=${to("/runs", { status: "any" })}>Show all runs</a></p>`;
}
