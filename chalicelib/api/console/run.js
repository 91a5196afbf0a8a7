// A run's attempts: when, how long, and what came back.

import { get } from "./api.js";
import { duration, hexDump, laidOut, relative, whole, ZONE } from "./format.js";
import { useAnswer } from "./state.js";
import { Block, Failure, Headers, html, Loading, Status, Text, Time } from "./ui.js";

const ENDED = ["succeeded", "failed", "missed", "skipped"];

/** Show every attempt of a run, with what came back. */
export function Attempts({ job, run, now }) {
  const isOver = ENDED.includes(run.status);
  const ask = (signal) => get(`/jobs/${job.id}/runs/${encodeURIComponent(run.id)}`, signal);
  // What has ended does not change; until then, each change of the list asks anew.
  const key = isOver ? run.id : `${run.id} ${run.status} ${run.attempts.length}`;
  const { data, error } = useAnswer(key, ask, { once: true });
  const shown = data?.data;
  return html`<div class="opened">
    <dl class="fields">
      <div><dt>Planned</dt><dd title=${whole(run.scheduled_time)}>${whole(run.scheduled_time, ZONE)}</dd></div>
      ${run.started_at && html`<div><dt>Sent</dt><dd>${exact(run.started_at)}${run.lateness_ms !== null && ` (${duration(run.lateness_ms)} after)`}</dd></div>`}
      ${run.finished_at && html`<div><dt>${run.attempts.length ? "Finished" : "Recorded"}</dt><dd>${exact(run.finished_at)}</dd></div>`}
      ${run.next_attempt_at && html`<div><dt>Next attempt</dt><dd>${relative(run.next_attempt_at, now)}</dd></div>`}
      <div><dt>Run</dt><dd><code>${run.id}</code></dd></div>
    </dl>
    <${Failure} error=${error} />
    ${!shown && !error && html`<${Loading} rows=${2} />`}
    ${shown && shown.attempts.length === 0 && html`<p class="empty">Nothing was sent.</p>`}
    ${shown && html`<${Bars} run=${shown} />`}
    ${shown?.attempts.map((attempt, place) => html`<${Attempt} key=${attempt.number} attempt=${attempt} before=${shown.attempts[place - 1]} now=${now} isOnly=${shown.attempts.length === 1} />`)}
  </div>`;
}

function exact(iso) {
  const milliseconds = iso.slice(19, 23);
  return whole(iso).replace(/(:\d\d:\d\d)/, `$1${milliseconds}`);
}

/** The attempts on one line of time, from the planned time to the last answer. */
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

function Attempt({ attempt, before, now, isOnly }) {
  const { response } = attempt;
  const outcome = attempt.outcome === "success" ? "succeeded" : "failed";
  return html`<section class="attempt" aria-label=${`Attempt ${attempt.number}`}>
    <p>
      <${Status} of=${outcome} word=${attempt.status_code ? String(attempt.status_code) : attempt.outcome.replaceAll("_", " ")} />
      ${!isOnly && html`<b>Attempt ${attempt.number}</b>`}
      <span class="note"><${Time} of=${attempt.started_at} now=${now} />, ${duration(attempt.duration_ms)}${before && gap(attempt, before)}</span>
      ${attempt.error && html`<span class="why"><${Text} of=${attempt.error} /></span>`}
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
