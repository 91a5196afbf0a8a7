// Channels and their form, the notices that were sent to them and to callbacks, and their delivery.

import {
  filtersOf,
  get,
  post,
  RARELY,
  refreshAll,
  replace,
  SELDOM,
  to,
  useAnswer,
  useNow,
} from "./api.js";
import { messageFor, number } from "./draft.js";
import { brief, readable, seconds, why } from "./format.js";
import { Choice } from "./inputs.js";
import { found } from "./jobs.js";
import { Card, NamedForm, pathOfNamed } from "./named.js";
import { useEffect, useState } from "./preact-hooks.js";
import { pathOf } from "./runs.js";
import {
  Change,
  ChangeLink,
  Failure,
  Filters,
  Heading,
  html,
  Loading,
  Pages,
  Relative,
  Select,
  Status,
  Text,
  useAct,
} from "./ui.js";

// How often the end of a test is asked for, in milliseconds.
const SOON = 1000;
/** What a notice says, by its event. */
const WORDS = {
  "run.failed": "a run failed",
  "job.recovered": "the job works again",
  "run.missed": "runs were missed",
  "job.paused": "the job was paused, as it kept failing",
  "flow.opened": "a flow was stopped, as its target kept failing",
  "flow.closed": "a flow goes on, as its target works again",
  "run.succeeded": "a run succeeded",
  digest: "a digest",
  test: "a test",
};
/** What a channel can tell of. */
const EVENTS = {
  "run.failed": "A run failed: once, until the job works again",
  "job.recovered": "The job works again after a failure that was told",
  "run.missed": "Runs were missed",
  "job.paused": "The job was paused, as it kept failing",
  "flow.opened": "A flow was stopped, as its target kept failing",
  "flow.closed": "A flow goes on, as its target works again",
};
/** How far a notice is, by its status as a job. */
export const DELIVERY = { active: "on its way", completed: "delivered", failed: "not delivered" };
const FILTERS = ["status", "label", "cursor"];

/** Show the channels, and the notices that were made last. */
export function Channels() {
  const now = useNow();
  const { data, error, at, isLoading } = useChannels();
  const sent = useNotices({ limit: "10" });
  const channels = data?.data ?? [];
  const notices = sent.data?.data ?? [];
  return html`
    <div class="title">
      <${Heading} title="Channels" />
      <${ChangeLink} kind="primary" href="#/channels/new">New channel<//>
    </div>
    <p class="note">A channel posts a notice to a URL, such as a chat's webhook or your own API, when a job fails and when it works again.</p>
    <${Failure} error=${error ?? sent.error} stale=${at} now=${now} />
    ${isLoading && html`<${Loading} />`}
    ${data && !channels.length && html`<p class="empty">Nobody is told when a job fails. <a href="#/channels/new">Make the first channel</a></p>`}
    <div class="columns">
      ${channels.length > 0 && html`<ul class="list cards channels">${channels.map((channel) => html`<${Channel} key=${channel.name} channel=${channel} now=${now} />`)}</ul>`}
      ${
        (channels.length > 0 || notices.length > 0) &&
        html`<section aria-labelledby="told">
        <div class="title"><h2 id="told">Latest notices</h2><a href="#/notices">All notices</a></div>
        ${notices.length ? html`<${List} notices=${notices} now=${now} />` : html`<p class="empty">${sent.data ? "Nothing yet." : "…"}</p>`}
      </section>`
      }
    </div>
  `;
}

function useChannels() {
  return useAnswer("channels", (signal) => get("/notices", signal));
}

function useNotices(filters) {
  const question = { kind: "notice", ...filters };
  return useAnswer(JSON.stringify(question), (signal) => found(question, signal), {
    every: filters.label || filters.status ? RARELY : SELDOM,
  });
}

function Channel({ channel, now }) {
  const { name, format, label, url, digest, last_delivery: last } = channel;
  const [test, setTest] = useState("");
  const { act, refused, isUnderWay } = useAct();
  const send = () =>
    act("A test was sent.", async () =>
      setTest((await post(`${pathOfNamed(KIND, name)}/test`)).data.id),
    );
  const more = html`<${Change} kind="small" label=${`Send a test to ${name}`} disabled=${isUnderWay} onClick=${send}>Send a test<//>
    <a class="button small" href=${to("/notices", { label: `channel:${name}` })} aria-label=${`Notices to ${name}`}>Notices</a>`;
  const below = html`${test && html`<${Test} key=${test} id=${test} now=${now} />`}<${Failure} error=${refused} />`;
  return html`<${Card} kind=${KIND} name=${name} more=${more} below=${below} warning="It hears of nothing new. Notices that were made for it are sent still.">
    <p>Tells of ${tells(channel)}, ${format === "slack" ? "as a chat message" : "as JSON"}${digest && `, gathered for ${seconds(digest)}`}.${label && html` Only jobs with <span class="label"><${Text} of=${label} /></span>`}</p>
    <p class="note"><${Text} of=${brief(url)} /></p>
    <p>${last ? html`<${Delivery} last=${last} now=${now} />` : html`<${Status} of="waiting" word="nothing told yet" />`}</p>
  <//>`;
}

/** Say what a channel tells of: failures (from 3 in a row on) and recoveries. */
function tells({ events, after }) {
  const words = {
    "run.failed": after > 1 ? `failures (from ${after} in a row on)` : "failures",
    "job.recovered": "recoveries",
    "run.missed": "missed runs",
    "job.paused": "pauses",
    "flow.opened": "flows that are stopped",
    "flow.closed": "flows that go on",
  };
  const all = events.map((event) => words[event] ?? event).join(", ");
  return all.replace(/, ([^,]*)$/, " and $1");
}

function Delivery({ last, now }) {
  const isFine = last.status === "succeeded";
  return html`<a href=${to(`/notices/${last.job_id}`)}><${Status} of=${last.status} word=${isFine ? "delivered" : "not delivered"} /></a>${" "}
    <${Relative} of=${last.finished_at} now=${now} />: ${WORDS[last.event] ?? last.event}${!isFine && html`; <${Text} of=${brief(readable(last.error ?? `the target answered ${last.status_code}`, now))} />`}.`;
}

/** How a test is delivered, as soon as it is. */
function Test({ id, now }) {
  const { data, error } = useAnswer(
    `test ${id}`,
    (signal) => get(`/jobs/${id}/runs?limit=1`, signal),
    { every: (answer) => (answer?.data[0]?.finished_at ? RARELY : SOON) },
  );
  const run = data?.data[0];
  const words = { succeeded: "Test delivered", failed: "Test not delivered" };
  const word = words[run?.status] ?? "Test on its way";
  useEffect(refreshAll, [run?.finished_at]);
  return html`<p>
    <span role="status"><${Status} of=${run?.status ?? "queued"} word=${word} /></span>
    ${run && html` <${Text} of=${why(run, now)} />`} <a href=${to(`/notices/${id}`)}>What came back</a>
    <${Failure} error=${error} />
  </p>`;
}

/** Show the notices, with filters that the address holds. */
export function Notices({ query }) {
  const now = useNow();
  const filters = filtersOf(query, FILTERS);
  const { data, error, at, isLoading } = useNotices(filters);
  const notices = data?.data ?? [];
  return html`
    <p class="crumbs"><a href="#/channels">Channels</a></p>
    <${Heading} title="Notices" />
    <${Search} filters=${filters} />
    <${Failure} error=${error} stale=${at} now=${now} />
    ${isLoading && html`<${Loading} rows=${8} />`}
    ${notices.length > 0 && html`<${List} notices=${notices} now=${now} />`}
    ${data && !notices.length && html`<p class="empty">${data.next ? "None of the notices read so far matches. The next page reads on." : "There is no such notice. Notices are kept for 30 days."}</p>`}
    <${Pages} of="notices" path="/notices" filters=${filters} next=${data?.next} />
  `;
}

function Search({ filters }) {
  const { data } = useChannels();
  const change = (changed) => replace(to("/notices", { ...filters, cursor: "", ...changed }));
  const channels = (data?.data ?? []).map(({ name }) => [`channel:${name}`, `To ${name}`]);
  const events = Object.entries(WORDS).map(([event, words]) => [
    `event:${event}`,
    `That say: ${words}`,
  ]);
  const labels = [["", "All notices"], ...channels, ...events];
  // A job's or a run's, from the page of that.
  if (!labels.some(([label]) => label === filters.label))
    labels.push([filters.label, `About ${filters.label}`]);
  const deliveries = [["", "Delivered or not"], ...Object.entries(DELIVERY)];
  return html`<${Filters}>
    <${Select} label="To whom, or about what" value=${filters.label} options=${labels} onChange=${(label) => change({ label })} />
    <${Select} label="Delivery" value=${filters.status} options=${deliveries} onChange=${(status) => change({ status })} />
  <//>`;
}

/** List notices: what each says, of which job, to whom, and whether it was delivered. */
function List({ notices, now }) {
  return html`<ul class="list mends notices">
    ${notices.map((notice) => {
      const { status, result, labels } = notice;
      // A notice of a digest is due when its time is over; until then it gathers.
      const isOpen = status === "active" && labels.digest;
      return html`<li key=${notice.id} data-row>
        <a class="row" data-main href=${to(`/notices/${notice.id}`)}>
          <${Status} of=${status === "active" ? "queued" : status} word=${isOpen ? "gathering" : (DELIVERY[status] ?? status)} />
          <span class="name"><${Text} of=${named(notice)} /></span>
          <span class="at"><${Relative} of=${isOpen ? notice.next_run_time : (result?.finished_at ?? notice.created_at)} now=${now} /></span>
          <span class="why"><span class="label"><${Text} of=${labels.channel ?? "callback"} /></span> ${WORDS[labels.event] ?? labels.event}${status === "failed" && html`: <${Text} of=${brief(readable(result?.error ?? "not sent", now))} />`}</span>
        </a>
        <${Links} notice=${notice} />
      </li>`;
    })}
  </ul>`;
}

/** Return the name of the job that a notice tells of. */
function named({ name, labels }) {
  return name.replace(`${labels.event}: `, "");
}

function Links({ notice }) {
  const { job, run } = notice.labels;
  const of = named(notice);
  return html`<span class="mend buttons">${
    run &&
    html`<a href=${to(`/jobs/${encodeURIComponent(job)}`)} aria-label=${`Job ${of}`}>Job</a>
    <a href=${to(pathOf(job, run))} aria-label=${`Run of ${of}`}>Run</a>`
  }</span>`;
}

/** Say on the page of a notice what it tells whom. */
export function About({ notice, now }) {
  const { event, channel } = notice.labels;
  return html`<p class="facts">
    <span>${WORDS[event] ?? event}, <${Relative} of=${notice.created_at} now=${now} /></span>
    <span>${channel ? html`to <a href=${to("/notices", { label: `channel:${channel}` })}><${Text} of=${channel} /></a>` : "to the job's callback"}</span>
    <${Links} notice=${notice} />
  </p>`;
}

const KIND = {
  what: "channel",
  path: "/notices",
  screen: "#/channels",
  names: "Letters, digits, - and _, such as ops.",
  fields: ["url", "format", "events", "label", "after", "digest"],
  empty: { url: "", format: "slack", events: Object.keys(EVENTS), after: 1 },
  draft: (channel) => channel,
  body: ({ url, format, events, label, after, digest }) => ({
    url,
    format,
    events,
    after: number(String(after)),
    ...(label && { label }),
    ...(digest && { digest: number(String(digest)) }),
  }),
};

/** Make a channel, or change the one with this name. */
export function ChannelForm({ name = "" }) {
  return html`<${NamedForm} kind=${KIND} name=${name}>
    ${(place) => html`<${Fields} ...${place} />`}
  <//>`;
}

function Fields({ draft, set, errors, line }) {
  const wrong = messageFor(errors, "events");
  return html`
      <fieldset>
        <legend>Where</legend>
        ${line("URL", "url", { inputmode: "url", placeholder: "https://", note: html`Path and query may name a secret: <code>https://hooks.slack.com/services/{{secret:slack}}</code>` })}
        <div class="field">
          <span class="label-text" id="format-label">What is posted</span>
          <${Choice} name="format" labelled="format-label" value=${draft.format} options=${{ slack: "A chat message", resona: "JSON" }} onChange=${(format) => set({ format })} />
          <p class="note">${draft.format === "slack" ? "For Slack, Mattermost and Discord (a URL that ends with /slack)." : "The job, the run and what it was answered, for an API of your own."}</p>
          <p class="error">${messageFor(errors, "format")}</p>
        </div>
      </fieldset>
      <fieldset>
        <legend>Events</legend>
        <div class="field" role="group" aria-label="Events" aria-describedby="events-error">
          ${Object.entries(EVENTS).map(
            ([
              event,
              words,
            ]) => html`<label class="check"><input type="checkbox" checked=${draft.events.includes(event)} aria-invalid=${wrong ? "true" : null}
              onChange=${({ target }) => set({ events: [...draft.events.filter((one) => one !== event), ...(target.checked ? [event] : [])] })} /> ${words}</label>`,
          )}
          <p class="error" id="events-error">${wrong}</p>
        </div>
        <div class="pair">
          ${line("Tell from so many failed runs in a row on", "after", { inputmode: "numeric" })}
          ${line("Digest, s (optional)", "digest", { inputmode: "numeric", note: "Events within this time come as one notice." })}
          ${line("Only jobs with the label (optional)", "label", { placeholder: "key:value" })}
        </div>
      </fieldset>`;
}
