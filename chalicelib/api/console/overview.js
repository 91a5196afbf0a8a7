// The first screen: what went wrong, and what comes next, on an axis of time too.

import {
  EVERY,
  find,
  get,
  path,
  RARELY,
  SELDOM,
  now as serverTime,
  to,
  url,
  useAnswer,
  useNow,
} from "./api.js";
import { beginning, columns, OUTCOMES, SPANS, total, words } from "./columns.js";
import { duration, iso, moment, relative } from "./format.js";
import { useRef, useState } from "./preact-hooks.js";
import { RunList } from "./runs.js";
import { scheduleWords } from "./schedule.js";
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
const SHOWN = 20;
const DUE = 10;
// How long after a job was due it is asked what is due next, in milliseconds.
const AFTER = 2000;
// How many pages of occurrences are read for the axis: of more, it shows that they are not counted.
const PAGES = 3;
// The least height that can be seen, in per cent: what went wrong is never too small.
const LEAST = { failed: 5, missed: 5, skipped: 2, succeeded: 2, due: 2 };
const PARTS = [...OUTCOMES, "due"];

/** Show what went wrong last, what comes due, and what does not run. */
export function Overview({ query }) {
  const now = useNow();
  const [size, setSize] = useState(SHOWN);
  const span = SPANS[query.get("span")] ? query.get("span") : "24h";
  const ended = useAnswer(`ended ${span}`, (signal) => endedIn(span, now, signal), {
    every: SELDOM,
  });
  const ahead = useAnswer(`ahead ${span}`, (signal) => upcoming(span, signal), { every: RARELY });
  const due = useAnswer(
    "due",
    (signal) => get(path("/jobs", { sort: "next_run_time", limit: String(SHOWN) }), signal),
    { every: untilNext },
  );
  const paused = useAnswer(
    "paused",
    (signal) => get(path("/jobs", { status: "paused", limit: String(DUE) }), signal),
    { every: RARELY },
  );
  const wrong = useAnswer(`wrong ${size}`, (signal) =>
    get(path("/runs", { limit: String(size) }), signal),
  );
  const refused = [wrong, due, ended, ahead, paused].find(({ error }) => error);
  // What was drawn last stays until another span is there.
  const drawn = useRef(/** @type {any} */ (null));
  if (ended.data) {
    drawn.current = { span, ended: ended.data, ahead: ahead.data ?? { times: [], until: now } };
  }
  if (!drawn.current || !due.data || (!wrong.data && size === SHOWN)) {
    return html`<${Heading} title="Overview" />
      ${refused ? html`<${Failure} error=${refused.error} />` : html`<${Loading} rows=${6} />`}`;
  }
  const jobs = due.data.data;
  const runs = wrong.data?.data ?? [];
  const found = columns(drawn.current.span, now, drawn.current.ended.counted, drawn.current.ahead);
  const held = paused.data?.data ?? [];
  const isNothing = !jobs.length && !runs.length && !held.length;
  if (isNothing && !found.some(({ succeeded }) => succeeded)) return html`<${First} />`;
  const overdue = jobs.filter((job) => Date.parse(job.next_run_time) < now - LATE);
  const next = jobs.filter((job) => !overdue.includes(job));
  return html`
    <${Verdict} ended=${drawn.current.ended} span=${drawn.current.span} sum=${total(found)} overdue=${overdue} next=${next[0]} now=${now} />
    <${Failure} error=${refused?.error} stale=${refused?.at} now=${now} />
    <${Line} columns=${found} span=${drawn.current.span} now=${now} />
    <div class="columns">
      <section aria-labelledby="wrong">
        <div class="title"><h2 id="wrong">Last failed or missed</h2><a href=${to("/runs", { status: "any" })}>All runs</a></div>
        ${
          runs.length
            ? html`<${RunList} runs=${runs} now=${now} />`
            : html`<p class="empty"><${Status} of="succeeded" word="" /> No run has failed or was missed.</p>`
        }
        ${wrong.data?.next && size < 100 && html`<p><button type="button" onClick=${() => setSize(100)}>Show more</button></p>`}
      </section>
      <div>
        ${overdue.length > 0 && html`<${Due} title="Overdue" jobs=${overdue} now=${now} kind="overdue" />`}
        ${
          next.length
            ? html`<${Due} title="Due next" jobs=${next.slice(0, DUE)} now=${now} kind="active" more=${to("/jobs", { sort: "next_run_time" })} />`
            : html`<section><h2>Due next</h2><p class="empty">Nothing is due. <a href="#/jobs/new">Register a job</a>, or resume one.</p></section>`
        }
        ${held.length > 0 && html`<${Due} title="Paused" jobs=${held} now=${now} kind="paused" more=${paused.data?.next && to("/jobs", { status: "paused" })} />`}
      </div>
    </div>
  `;
}

/** Ask for what is due when the next job has run, but not more often than for anything else. */
function untilNext(answer) {
  const [first] = answer?.data ?? [];
  const wait = first ? Date.parse(first.next_run_time) - serverTime() + AFTER : SELDOM;
  return Math.min(SELDOM, Math.max(EVERY, wait));
}

/** Return what ended before now, and whether all of it is counted. */
async function endedIn(span, now, signal) {
  const since = new Date(beginning(span, now)).toISOString();
  if (span === "1h") {
    const { data, next } = await get(path("/runs", { status: "any", since, limit: "100" }), signal);
    const counted = data.map((run) => ({
      at: Date.parse(run.finished_at ?? run.scheduled_time),
      counts: { [run.status]: 1 },
    }));
    return { counted, isWhole: !next, lateness: null };
  }
  /** @type {Answer<Hours>} */
  const { data } = await get(path("/runs/hours", { since }), signal);
  const counted = data.hours.map((counts) => ({ at: Date.parse(counts.hour), counts }));
  return { counted, isWhole: data.complete, lateness: data.total.lateness_ms };
}

/** Return the times of the occurrences to come, and until when these are all. */
async function upcoming(span, signal) {
  const times = [];
  let cursor = "";
  for (let page = 0; page < PAGES; page += 1) {
    const question = path("/upcoming", { hours: String(SPANS[span].hours), limit: "100", cursor });
    /** @type {Answer<Upcoming>} */
    const { data, next } = await get(question, signal);
    const sent = data.occurrences.filter((each) => !each.skipped);
    times.push(...sent.map((each) => Date.parse(each.scheduled_time)));
    if (!next) return { times, until: Date.parse(data.complete_until) };
    cursor = next;
  }
  return { times, until: times.at(-1) };
}

function Verdict({ ended, span, sum, overdue, next, now }) {
  const { failed, missed, succeeded } = sum;
  const parts = [
    failed && `${failed} ${failed === 1 ? "run" : "runs"} failed`,
    missed && `${missed} ${missed === 1 ? "run was" : "runs were"} missed`,
  ].filter(Boolean);
  const atLeast = ended.isWhole ? "" : "at least ";
  const { lateness } = ended;
  return html`<${Heading} title="Overview">
      ${
        parts.length
          ? html`<${Status} of=${failed ? "failed" : "missed"} word="" /> ${atLeast}${parts.join(" and ")} in the last ${SPANS[span].words}`
          : overdue.length
            ? html`<${Status} of="overdue" word="" /> ${overdue.length} overdue`
            : html`<${Status} of="succeeded" word="" /> Nothing went wrong in the last ${SPANS[span].words}`
      }
    <//>
    <p class="facts">
      <span><b>${succeeded.toLocaleString("en")}</b> succeeded</span>
      ${lateness && html`<span title="How late the runs that succeeded were sent">late by <b>${duration(lateness.p50)}</b> at the median, <b>${duration(lateness.p99)}</b> at p99</span>`}
      ${overdue.length > 0 && html`<span class="is-late"><b>${overdue.length}</b> overdue</span>`}
      ${next && html`<span>next: <a href=${to(`/jobs/${next.id}`)}><${Text} of=${next.name} /></a>${" "}<b>${relative(next.next_run_time, now)}</b></span>`}
    </p>`;
}

function Line({ columns: found, span, now }) {
  const { failed, missed, skipped, succeeded, due } = total(found);
  const label = `The ${SPANS[span].words} before now: ${succeeded} runs succeeded, ${failed} failed, ${missed} were missed, ${skipped} skipped. After it: ${due} due.`;
  return html`<section class="line" aria-label="Time axis">
    <div class="legend">
      ${["failed", "missed", "skipped", "succeeded", "due"].map((name) => html`<span><i class="swatch ${name}"></i>${name}</span>`)}
      ${!found.every(({ isKnown }) => isKnown) && html`<span title=${`Only the next ${PAGES * 100} occurrences are counted`}><i class="swatch is-unknown"></i>not counted</span>`}
      <span class="grow"></span>
      <nav class="spans" aria-label="Span of the axis">
        ${Object.keys(SPANS).map((name) => html`<a href=${to("/", { span: name === "24h" ? "" : name })} aria-current=${name === span ? "true" : null} title=${SPANS[name].words}>${name}</a>`)}
      </nav>
    </div>
    <${Axis} columns=${found} now=${now} label=${label} />
  </section>`;
}

function Due({ title, jobs, now, kind, more = null }) {
  const id = title.replace(" ", "-");
  return html`<section aria-labelledby=${id}>
    <div class="title"><h2 id=${id}>${title}</h2>${more && html`<a href=${more}>All</a>`}</div>
    <ul class="list">
      ${jobs.map(
        (job) => html`<li key=${job.id} data-row>
          <a class="row" data-main href=${to(`/jobs/${job.id}`)}>
            <${Status} of=${kind} bare=${true} />
            <span class="name"><${Text} of=${job.name} /></span>
            <span class="at">${job.next_run_time ? html`<${Relative} of=${job.next_run_time} now=${now} />` : job.pause?.until ? html`until <${Time} of=${job.pause.until} now=${now} />` : "paused"}</span>
            <span class="why note">
              <${Text} of=${scheduleWords(job.trigger, now)} />${job.next_run_time && job.trigger.type !== "one-time" && html` · <${Time} of=${job.next_run_time} now=${now} />`}${job.skips > 0 && " · skipped"}${job.pause?.reason && html` · <${Text} of=${job.pause.reason} />`}
            </span>
          </a>
        </li>`,
      )}
    </ul>
  </section>`;
}

/** What stands there before the first job: a command to paste. Any job makes room for the overview. */
function First() {
  const now = useNow();
  const { data } = useAnswer("first", (signal) => get(path("/jobs", { limit: "1" }), signal));
  if (data?.data.length) {
    const [job] = data.data;
    return html`<${Heading} title="Overview">Nothing is due, and nothing has run yet<//>
      <p>The newest job is <a href=${to(`/jobs/${job.id}`)}><${Text} of=${job.name} /></a>, <${Relative} of=${job.created_at} now=${now} />. <a href="#/jobs">All jobs</a></p>`;
  }
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

/** Draw columns, as `columns` makes them. Arrow keys go from one to the next. */
function Axis({ columns, now, label }) {
  const middle = columns.length / 2;
  const [chosen, choose] = useState(middle - 1);
  const highest = Math.max(1, ...columns.map(sum));
  const step = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = chosen + (by ?? 0);
    if (!by || next < 0 || next >= columns.length) return;
    event.preventDefault();
    choose(next);
    find(`[data-column="${next}"]`, event.currentTarget)?.focus();
  };
  return html`<figure class="axis">
    <figcaption class="unseen">${label} Arrow keys go through the columns.</figcaption>
    <div class="bars-of" role="group" aria-label=${label} onKeyDown=${step}>
      <span class="highest" aria-hidden="true">${highest}</span>
      ${columns.map(
        (
          column,
          place,
        ) => html`<a key=${place} class="column ${column.isAhead ? "is-ahead" : ""} ${column.isKnown ? "" : "is-unknown"}"
          data-column=${place} tabindex=${place === chosen ? 0 : -1} onFocus=${() => choose(place)}
          href=${hrefOf(column)} aria-label=${named(column, now)} title=${named(column, now)}>
          ${PARTS.map((name) => column[name] > 0 && html`<i class=${name} style=${{ height: `${Math.max((column[name] / highest) * 100, LEAST[name])}%` }}></i>`)}
        </a>`,
      )}
    </div>
    <div class="ticks" aria-hidden="true">
      ${[0, 0.25, 0.5, 0.75, 1].map((part) => {
        const at = columns[Math.min(Math.round(part * columns.length), columns.length - 1)];
        const words = part === 0.5 ? "now" : moment(part === 1 ? at.to : at.from, now);
        return html`<span class=${part === 0.5 ? "is-now" : ""}>${words}</span>`;
      })}
    </div>
  </figure>`;
}

function sum(column) {
  return PARTS.reduce((all, name) => all + column[name], 0);
}

function hrefOf({ isAhead, from, to: end }) {
  if (isAhead) return to("/jobs", { sort: "next_run_time" });
  return to("/runs", { status: "any", since: iso(from), until: iso(end) });
}

function named(column, now) {
  return `${moment(column.from, now)} to ${moment(column.to, now)}: ${words(column)}`;
}
