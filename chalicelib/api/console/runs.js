// Runs: those of all jobs as a list with filters, and how they are mended: retried and cancelled.

import {
  call,
  filtersOf,
  find,
  get,
  path,
  refreshAll,
  replace,
  now as serverTime,
  to,
  useAnswer,
  useNow,
} from "./api.js";
import { iso, wall, whole, why, ZONE } from "./format.js";
import { useEffect, useRef, useState } from "./preact-hooks.js";
import {
  Change,
  Confirm,
  Dialog,
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
  useAct,
  useSelection,
} from "./ui.js";

const PAGE = "50";
const FILTERS = ["status", "label", "since", "until", "cursor"];
/** How a run ends. */
export const ENDED = ["succeeded", "failed", "missed", "skipped"];
const STATUSES = [
  ["", "Failed or missed"],
  ["any", "Any status"],
  ...ENDED.map((status) => [status, status]),
];
/** What `POST /runs/retry` retries, by the filter of the list; it takes no others. */
const WRONG = { "": "failed or missed", failed: "failed", missed: "missed" };
// How often it is asked what becomes of a run that was asked for, and after how many milliseconds.
const TRIES = 5;
const SOON = 700;
const WAITING = ["queued", "retrying", "waiting"];

/** Return the path of a run. */
export function pathOf(job, run, base = "/jobs") {
  return `${base}/${encodeURIComponent(job)}/runs/${encodeURIComponent(run)}`;
}

/** Return why a run cannot be retried; empty if it can. */
function whyNot(run) {
  if (run.retried_by) return "It was retried; that run can be retried, too.";
  if (WRONG[run.status] || run.reason === "cancelled") return "";
  return run.finished_at
    ? "Only what failed, was missed or was cancelled can be retried."
    : "The run has not ended yet.";
}

/**
 * Say what becomes of a run that was asked for: an answer tells that it is queued, and only when it
 * comes to be sent it is known whether its flow holds it.
 */
export async function follow(run) {
  say("The run is queued.");
  for (let tries = 0; tries < TRIES && run.status === "queued" && !run.waits_for; tries += 1) {
    await new Promise((done) => setTimeout(done, SOON));
    try {
      run = (await get(pathOf(run.job_id, run.id))).data;
    } catch {
      return;
    }
  }
  say(run.started_at ? "The run was sent." : why(run, serverTime()));
  refreshAll();
}

/** Buttons that retry and cancel a run; with `isWhole` also what cannot be done, and why. */
export function Mend({ run, isWhole = false }) {
  const { act, refused, isUnderWay } = useAct();
  const [isAsking, ask] = useState(false);
  // The row in which a button was pressed: it has the focus when the button goes.
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const path = pathOf(run.job_id, run.id);
  const reason = whyNot(run);
  const isSent = run.status === "running";
  const named = (word) =>
    isWhole ? null : `${word} the run ${run.job_name ?? ""} due ${whole(run.scheduled_time)}`;
  async function change(word, method, of) {
    place.current = find(":focus")?.closest("[data-row]") ?? null;
    await act(word, async () => {
      const { data } = await call(method, of);
      if (data) follow(data);
    });
    ask(false);
  }
  useEffect(() => {
    const isLost = document.activeElement === document.body;
    if (place.current && isLost) find("[data-main]", place.current)?.focus();
    place.current = null;
  }, [reason, run.status]);
  return html`<div class="mend buttons">
    ${!isWhole && run.retried_by && html`<a href=${to(pathOf(run.job_id, run.retried_by))} aria-label=${named("Retried:")}>Retried</a>`}
    ${
      (isWhole || !reason) &&
      html`<${Change} kind=${isWhole ? "" : "small"} disabled=${isUnderWay || reason} title=${reason || "Send it again, as the job is now"} label=${named("Retry")}
        onClick=${() => change("", "POST", `${path}/retry`)}>Retry<//>`
    }
    ${
      (WAITING.includes(run.status) || (isWhole && isSent)) &&
      html`<${Change} kind=${isWhole ? "" : "small"} disabled=${isUnderWay || isSent} title=${isSent ? "It is being sent" : null} label=${named("Cancel…")} onClick=${() => ask(true)}>Cancel…<//>`
    }
    ${isWhole && reason && html`<span class="note">${isSent ? "It is being sent; if that fails, it can be cancelled." : reason}</span>`}
    <${Failure} error=${refused} />
    ${
      isAsking &&
      html`<${Confirm} title="Cancel this run?" action="Cancel the run" keep="Keep it" onClose=${() => ask(false)} onConfirm=${() => change("The run was cancelled.", "DELETE", path)}>
      <p>Nothing more of it is sent. It can be retried later.</p>
    <//>`
    }
  </div>`;
}

/**
 * List runs, the last to end first: each with its job, and with why it ended so. With `toggle` they
 * can be selected.
 */
export function RunList({ runs, now, selected = new Map(), toggle }) {
  return html`<ul class="list mends">
    ${runs.map((run) => {
      const ended = run.finished_at ?? run.scheduled_time;
      return html`<li key=${run.id} data-row class=${selected.has(run.id) ? "is-selected" : ""}>
        ${toggle && html`<${Pick} run=${run} isSelected=${selected.has(run.id)} toggle=${toggle} />`}
        <a class="row" data-main href=${to(pathOf(run.job_id, run.id))}>
          <${Status} of=${run.status} />
          <span class="name"><${Text} of=${run.job_name} /></span>
          <span class="at"><${Relative} of=${ended} now=${now} /></span>
          <span class="why"><${Text} of=${why(run, now)} /> <span class="note">Due <${Time} of=${run.scheduled_time} now=${now} />.</span></span>
        </a>
        <${Mend} run=${run} />
      </li>`;
    })}
  </ul>`;
}

function Pick({ run, isSelected, toggle }) {
  const reason = whyNot(run);
  return html`<input type="checkbox" aria-label=${`Select the run of ${run.job_name}`} title=${reason ?? ""} disabled=${Boolean(reason) && !isSelected}
    checked=${isSelected} onChange=${() => toggle(run)} />`;
}

/** Show the runs of all jobs that have ended, with filters that the address holds. */
export function Runs({ query }) {
  const now = useNow();
  const filters = filtersOf(query, FILTERS);
  const question = path("/runs", { limit: PAGE, ...filters });
  const { data, error, at, isLoading } = useAnswer(question, (signal) => get(question, signal));
  const { selected, select, toggle } = useSelection();
  const runs = data?.data ?? [];
  return html`
    <${Heading} title="Runs" />
    <${Search} filters=${filters} />
    ${runs.length > 0 && html`<${Selection} filters=${filters} runs=${runs} next=${data?.next} selected=${selected} select=${select} />`}
    <${Failure} error=${error} stale=${at} now=${now} />
    ${isLoading && html`<${Loading} rows=${8} />`}
    ${runs.length > 0 && html`<${RunList} runs=${runs} now=${now} selected=${selected} toggle=${toggle} />`}
    ${data && !runs.length && html`<${Nothing} next=${data.next} />`}
    <${Pages} of="runs" path="/runs" filters=${filters} next=${data?.next} />
    <p class="note">Runs that have not ended yet are shown on the pages of their jobs.</p>
  `;
}

/** Retry all runs of the list, or those that were selected. */
function Selection({ filters, runs, next, selected, select }) {
  const [refused, setRefused] = useState(/** @type {any} */ (null));
  const [isUnderWay, setUnderWay] = useState(false);
  const open = runs.filter((run) => !whyNot(run));
  const isAll = open.length > 0 && open.every((run) => selected.has(run.id));
  async function again() {
    setUnderWay(true);
    const { done, refused } = await forEach([...selected.values()], (run) =>
      call("POST", `${pathOf(run.job_id, run.id)}/retry`),
    );
    say(`${done} ${done === 1 ? "run is" : "runs are"} queued again.`);
    setRefused(refused && { message: refused });
    setUnderWay(false);
    select(new Map());
    refreshAll();
  }
  return html`<div class="selection" role="region" aria-label="Retry runs">
      <label class="with-words"><input type="checkbox" checked=${isAll} disabled=${!open.length} onChange=${() => select(isAll ? new Map() : new Map(open.map((run) => [run.id, run])))} />
        <span>${selected.size ? `${selected.size} selected` : "Select all on this page"}</span></label>
      <span class="grow"></span>
      ${
        selected.size
          ? html`<${Change} kind="primary" disabled=${isUnderWay} onClick=${again}>Retry ${selected.size} selected<//>
            <button type="button" class="quiet" onClick=${() => select(new Map())}>Clear</button>`
          : html`<${RetryAll} filters=${filters} runs=${runs} next=${next} />`
      }
    </div>
    <${Failure} error=${refused} />`;
}

/** A button that retries all runs of the list; the first page says how many, if it is the only one. */
function RetryAll({ filters, runs, next }) {
  const [until, open] = useState("");
  const what = WRONG[filters.status];
  if (!what)
    return html`<a href=${to("/runs", { ...filters, status: "", cursor: "" })}>Only failed or missed runs</a>`;
  const left = runs.filter((run) => !whyNot(run) && run.reason !== "cancelled").length;
  const isCounted = !next && !filters.cursor;
  const many = isCounted ? `${left} ${what} ${left === 1 ? "run" : "runs"}` : `all ${what} runs`;
  // A retry that fails meanwhile ends after this, so that it is not retried by the same click.
  function begin() {
    const latest = Date.parse(runs[0]?.finished_at ?? "") || 0;
    const end = Math.max(serverTime(), latest) + 1;
    open(new Date(Math.min(end, Date.parse(filters.until) || end)).toISOString());
  }
  return html`<${Change} disabled=${isCounted && !left} onClick=${begin}>Retry ${many}…<//>
    ${until && html`<${Sweep} filters=${{ ...filters, cursor: "", until }} title=${`Retry ${many}?`} onClose=${() => open("")} />`}`;
}

/** Retry page by page until the end, or until it is stopped. What is repeated retries no run twice. */
function Sweep({ filters, title, onClose }) {
  const [state, set] = useState({ phase: "", retried: 0, left: 0, error: null });
  const { phase, retried, left, error } = state;
  const isWanted = useRef(true);
  const cursor = useRef("");
  const stop = () => {
    isWanted.current = false;
    set((old) => ({ ...old }));
  };
  useEffect(() => stop, []);
  useEffect(() => find("dialog .buttons button")?.focus(), [phase]);
  async function go() {
    isWanted.current = true;
    let sum = { ...state, phase: "going", error: null };
    set(sum);
    try {
      do {
        const question = path("/runs/retry", { ...filters, cursor: cursor.current });
        const { data, next } = await call("POST", question);
        cursor.current = next ?? "";
        sum = { ...sum, retried: sum.retried + data.retried, left: sum.left + data.left };
        set(sum);
      } while (cursor.current && isWanted.current);
      set({ ...sum, phase: cursor.current ? "stopped" : "done" });
    } catch (problem) {
      set({ ...sum, phase: "stopped", error: problem });
    }
    refreshAll();
  }
  const said = {
    going: isWanted.current ? " so far…" : " so far; it stops after this page…",
    stopped: ", then it stopped.",
    done: " in all. Ten a second are sent, or as many as their flows let through.",
  };
  return html`<${Dialog} title=${title} onClose=${phase === "going" ? stop : onClose}>
    ${!phase && html`<${Which} filters=${filters} />`}
    <p role="status">${phase && `${retried} ${retried === 1 ? "run" : "runs"} retried${said[phase]}`}</p>
    ${left > 0 && html`<p class="note">${left} were left: their jobs have too many unfinished runs. Retry again when these are over.</p>`}
    <${Failure} error=${error} />
    <p class="buttons">
      <button type="button" onClick=${phase === "going" ? stop : onClose}>${phase === "going" ? "Stop" : phase ? "Close" : "Cancel"}</button>
      ${["", "stopped"].includes(phase) && html`<${Change} kind="primary" onClick=${go}>${phase ? "Go on" : "Retry"}<//>`}
    </p>
  <//>`;
}

function Which({ filters }) {
  const time = (of) => html`<b><${Time} of=${of} now=${serverTime()} /></b>`;
  return html`<p>Runs that ended ${filters.since && html`since ${time(filters.since)} and `}before ${time(filters.until)}${filters.label && html`, of jobs with <b><${Text} of=${filters.label} /></b>`}. Each is sent again once, as its job is now.</p>
    <p class="note">Runs that were retried or cancelled before are left out.</p>`;
}

/** Return six in the evening of yesterday, in the viewer's zone. */
function lastNight() {
  const at = new Date(serverTime());
  at.setDate(at.getDate() - 1);
  at.setHours(18, 0, 0, 0);
  return iso(at);
}

function Search({ filters }) {
  const change = (changes) => replace(to("/runs", { ...filters, cursor: "", ...changes }));
  const instant = (label, name) => html`<label class="with-words">
    <span>${label}</span>
    <input type="datetime-local" value=${filters[name] && wall(filters[name], ZONE).slice(0, 16)}
      onChange=${(event) => change({ [name]: event.target.value && iso(event.target.value) })} />
  </label>`;
  return html`<${Filters}>
    <${Select} label="Status" value=${filters.status} options=${STATUSES} onChange=${(status) => change({ status })} />
    <${LabelFilter} value=${filters.label} onChange=${(label) => change({ label })} />
    ${instant("Ended since", "since")} ${instant("and before", "until")}
    <button type="button" title="Since six in the evening of yesterday" onClick=${() => change({ since: lastNight(), until: "" })}>Since last night</button>
  <//>`;
}

function Nothing({ next }) {
  return next
    ? html`<p class="empty">None of the runs read so far matches. The next page reads on.</p>`
    : html`<p class="empty">No run matches. Runs are kept for 30 days. <a href=${to("/runs", { status: "any" })}>Show all runs</a></p>`;
}
