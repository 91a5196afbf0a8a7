// What can be done to jobs: run, pause, skip, backfill, delete; and what of it is under way.

import { call, post, now as serverTime, to } from "./api.js";
import { number } from "./draft.js";
import { iso, wall, ZONE } from "./format.js";
import { Instant, Line } from "./inputs.js";
import { useState } from "./preact-hooks.js";
import { follow } from "./runs.js";
import {
  Change,
  ChangeLink,
  ConfirmDelete,
  Dialog,
  Failure,
  focusWrong,
  html,
  Relative,
  Status,
  Text,
  Time,
  useAct,
} from "./ui.js";

/** The buttons of a job, or of a notice. */
export function Actions({ job, isNotice }) {
  const [asked, ask] = useState("");
  const { act, refused, isUnderWay } = useAct();
  const of = `/jobs/${job.id}`;
  const isPaused = job.status === "paused";
  const isDue = isPaused || job.status === "active";
  const recurs = job.trigger.type !== "one-time";
  const close = () => ask("");
  const button = (word, onClick, kind = "") =>
    html`<${Change} kind=${kind} disabled=${isUnderWay} onClick=${onClick}>${word}<//>`;
  const does = (word, action) => () => act(word, () => post(`${of}/${action}`));
  async function remove() {
    await act(`The ${isNotice ? "notice" : "job"} was deleted.`, async () => {
      await call("DELETE", of);
      location.hash = to(isNotice ? "/notices" : "/jobs");
    });
    close();
  }
  return html`<div class="buttons actions">
      ${
        !isNotice &&
        html`${button("Run now", () => act("", async () => void follow((await post(`${of}/run`)).data)), "primary")}
        ${isPaused && button("Resume", does("The job was resumed.", "resume"))}
        ${isDue && button(isPaused ? "Change the pause…" : "Pause…", () => ask("pause"))}
        ${isDue && recurs && button("Skip…", () => ask("skip"))}
        ${!isPaused && recurs && !job.backfill && button("Backfill…", () => ask("backfill"))}
        <${ChangeLink} href=${to(`${of}/edit`)}>Edit<//>
        <${ChangeLink} href=${to("/jobs/new", { from: job.id })}>Duplicate<//>`
      }
      ${button("Delete…", () => ask("delete"), "danger")}
    </div>
    <${Failure} error=${refused} />
    ${asked === "pause" && html`<${PauseDialog} jobs=${[job]} onClose=${close} word=${isPaused ? "The pause was changed." : "The job was paused."} does=${(body) => post(`${of}/pause`, body)} />`}
    ${asked === "skip" && html`<${SkipDialog} job=${job} onClose=${close} />`}
    ${asked === "backfill" && html`<${BackfillDialog} job=${job} onClose=${close} />`}
    ${asked === "delete" && html`<${ConfirmDelete} jobs=${[job]} what=${isNotice ? "notice" : "job"} onClose=${close} onConfirm=${remove} />`}`;
}

/**
 * Ask for fields, which `children` makes of the errors that the API has found, and do it. `word`
 * says that it was done.
 */
function Ask({ title, action, word, does, onClose, children }) {
  const { act, refused, isUnderWay } = useAct();
  const errors = refused?.errors ?? [];
  async function submit(event) {
    event.preventDefault();
    if (isUnderWay) return;
    await act(word, async () => {
      await does();
      onClose();
    });
    focusWrong();
  }
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form noValidate onSubmit=${submit}>
      ${children(errors)}
      ${!errors.length && html`<${Failure} error=${refused} />`}
      <p class="buttons">
        <button type="button" onClick=${onClose}>Cancel</button>
        <${Change} type="submit" kind="primary" disabled=${isUnderWay}>${action}<//>
      </p>
    </form>
  <//>`;
}

/** Ask how long to pause jobs, and why; `does` gets the body of the request, undefined for none. */
export function PauseDialog({ jobs, word = "", does, onClose }) {
  const pause = jobs.length === 1 ? jobs[0].pause : null;
  const [until, setUntil] = useState(pause?.until ? wall(pause.until, ZONE) : "");
  const [reason, setReason] = useState(pause?.by === "resona" ? "" : (pause?.reason ?? ""));
  // Without a body a job that is paused is left as it is.
  const body =
    until || reason || pause
      ? { until: until ? iso(until) : null, reason: reason || null }
      : undefined;
  const title = pause
    ? "Change the pause"
    : jobs.length === 1
      ? "Pause this job?"
      : `Pause ${jobs.length} jobs?`;
  return html`<${Ask} title=${title} action=${pause ? "Save" : "Pause"} word=${word} does=${() => does(body)} onClose=${onClose}>
    ${(
      errors,
    ) => html`<${Instant} label="Until (optional)" field="until" errors=${errors} value=${until} onChange=${setUntil} />
      <${Line} label="Reason (optional)" field="reason" errors=${errors} maxlength="200" spellcheck=${true} value=${reason} onChange=${setReason} />
      <p class="note">${until ? "The pause ends by itself then." : "The pause lasts until somebody resumes the job."} Occurrences until then are not sent.</p>`}
  <//>`;
}

function SkipDialog({ job, onClose }) {
  const [count, set] = useState(String(job.skips || 1));
  const does = () => post(`/jobs/${job.id}/skip`, { count: number(count) });
  return html`<${Ask} title="Skip the next occurrences?" action="Skip" word="The next occurrences are skipped." does=${does} onClose=${onClose}>
    ${(
      errors,
    ) => html`<${Line} label="How many" field="count" errors=${errors} inputmode="numeric" value=${count} onChange=${set} />
      <p class="note">Each is recorded as skipped when it comes due.</p>`}
  <//>`;
}

function BackfillDialog({ job, onClose }) {
  const now = wall(iso(serverTime()), ZONE);
  const [from, setFrom] = useState(`${now.slice(0, 10)}T00:00:00`);
  const [to, setTo] = useState(now);
  const does = () => post(`/jobs/${job.id}/backfill`, { from: iso(from), to: iso(to) });
  return html`<${Ask} title="Run past occurrences?" action="Backfill" word="The backfill has begun." does=${does} onClose=${onClose}>
    ${(
      errors,
    ) => html`<${Instant} label="From" field="from" errors=${errors} value=${from} onChange=${setFrom} />
      <${Instant} label="To" field="to" errors=${errors} value=${to} onChange=${setTo} />
      <p class="note">Sends the job's present request for each occurrence in this range, also for those that ran: oldest first, one after another, at most 1,000.</p>`}
  <//>`;
}

/** Say that a job is paused, what of it is skipped, and how far its backfill is. */
export function Standing({ job, now }) {
  const { act, refused, isUnderWay } = useAct();
  const { backfill } = job;
  const takeBack = () =>
    act("Nothing is skipped.", () => post(`/jobs/${job.id}/skip`, { count: 0 }));
  const stop = () =>
    act("The backfill has ended.", () => call("DELETE", `/jobs/${job.id}/backfill`));
  const ended = backfill && backfill.runs - backfill.left;
  return html`${job.pause && html`<${Paused} job=${job} now=${now} />`}
    ${
      job.skips > 0 &&
      html`<p class="standing"><${Status} of="skipped" word="" />
        <span>${job.skips === 1 ? "The next occurrence is skipped." : `The next ${job.skips} occurrences are skipped.`}</span>
        <${Change} kind="small" disabled=${isUnderWay} onClick=${takeBack}>Undo<//></p>`
    }
    ${
      backfill &&
      html`<p class="standing"><${Status} of="running" word="" />
        <span>Backfill from <${Time} of=${backfill.from} now=${now} /> to <${Time} of=${backfill.to} now=${now} />: ${ended} of ${backfill.runs} have ended.</span>
        <progress max=${backfill.runs} value=${ended} aria-label="Runs of the backfill that have ended"></progress>
        <${Change} kind="small" disabled=${isUnderWay} onClick=${stop}>Stop<//></p>`
    }
    <${Failure} error=${refused} />`;
}

function Paused({ job, now }) {
  const { since, until, reason, by } = job.pause;
  const when = html`Paused <${Relative} of=${since} now=${now} />`;
  if (by === "resona")
    return html`<p class="failure"><${Status} of="failed" word="" /> ${when}, since it kept failing: ${job.pause_after} failed ${job.pause_after === 1 ? "run" : "runs in a row"}. Resume it when the cause is gone; the count begins anew.</p>`;
  const end = until
    ? html`It resumes by itself <b><${Relative} of=${until} now=${now} /></b>, <${Time} of=${until} now=${now} />.`
    : "It stays paused until somebody resumes it.";
  return html`<p class="standing"><${Status} of="paused" word="" />
    <span>${when}${by && html` by the key <code>${by}</code>`}${reason && html`: <${Text} of=${reason} />`}. ${end}</span></p>`;
}
