// Flows: limits on how jobs, all together, call a target; what waits for them; and their form.

import { call, EVERY } from "./api.js";
import { number } from "./draft.js";
import { seconds as inWords } from "./format.js";
import { Card, NamedForm, NamedList, pathOfNamed } from "./named.js";
import { Change, Failure, html, Relative, Status, useAct } from "./ui.js";

const KIND = {
  what: "flow",
  path: "/flows",
  screen: "#/flows",
  names:
    "host:api.example.com for all jobs that call this host and name no other flow, or letters, digits, . - and _.",
  named: "flow",
  fields: ["rate", "concurrency", "breaker"],
  empty: { rate: null, concurrency: null, paused: false, breaker: null },
  // Fields that the form does not know go back as they came.
  draft: ({
    rate,
    concurrency,
    breaker,
    name,
    state,
    opened_at,
    waiting,
    out,
    created_at,
    updated_at,
    ...kept
  }) => ({
    kept,
    requests: String(rate?.requests ?? ""),
    seconds: String(rate?.seconds ?? 1),
    burst: String(rate?.burst ?? 1),
    concurrency: String(concurrency ?? ""),
    failures: String(breaker?.failures ?? ""),
    probe: String(breaker?.probe_seconds ?? 60),
  }),
  body: ({ requests, seconds, burst, concurrency, failures, probe, kept }) => ({
    ...kept,
    rate: requests.trim()
      ? { requests: number(requests), seconds: number(seconds), burst: number(burst) }
      : null,
    concurrency: concurrency.trim() ? number(concurrency) : null,
    breaker: failures.trim() ? { failures: number(failures), probe_seconds: number(probe) } : null,
  }),
};
const STATES = {
  closed: ["active", "sends"],
  paused: ["paused", "paused"],
  open: ["failed", "stopped"],
};

/** Show the flows, and what waits for each. */
export function Flows({ query }) {
  return html`<${NamedList} kind=${KIND} query=${query} every=${EVERY} none="There are no flows yet: jobs are sent as they come due."
    about="A flow limits how fast its jobs, all together, call their target; one that is paused or stopped holds their runs.">
    ${(flow) => html`<${Flow} key=${flow.name} flow=${flow} />`}
  <//>`;
}

function Flow({ flow }) {
  const { name, state, opened_at: since, waiting, out, paused } = flow;
  const { act, refused, isUnderWay } = useAct();
  const [shape, word] = STATES[state] ?? ["waiting", state];
  // All of it is put: as it is now, since the list may be older than another's change.
  const turn = () =>
    act(paused ? "The flow was resumed." : "The flow was paused.", async () => {
      const path = pathOfNamed(KIND, name);
      const { data } = await call("GET", path);
      const body = { ...KIND.body(KIND.draft(data)), paused: !paused };
      await call("PUT", path, { body: JSON.stringify(body) });
    });
  const verb = paused ? "Resume" : "Pause";
  const more = html`<${Change} kind="small" label=${`${verb} ${name}`} disabled=${isUnderWay} onClick=${turn}>${verb}<//>`;
  return html`<${Card} kind=${KIND} name=${name} more=${more} below=${html`<${Failure} error=${refused} />`} warning="Its jobs are then sent as they come due.">
    <p>${limitWords(flow)}.</p>
    <p><${Status} of=${shape} word=${word} />${since ? html` <${Relative} of=${since} now=${Date.now()} />, as its target kept failing; ` : ", "}${waiting || "nothing"} ${waiting === 1 || !waiting ? "waits" : "wait"}${out !== null && `, ${out} out`}</p>
  <//>`;
}

function limitWords({ rate, concurrency, breaker }) {
  const words = [
    rate && rateWords(rate),
    concurrency && `at most ${concurrency} out at once`,
    breaker && breakerWords(breaker),
  ];
  const text = words.filter(Boolean).join("; ") || "no limits";
  return text[0].toUpperCase() + text.slice(1);
}

/** Say a rate in words: at most 10 requests in 1 s, 5 of them at once. */
function rateWords({ requests, seconds, burst }) {
  const many = `${requests} ${requests === 1 ? "request" : "requests"}`;
  return `at most ${many} in ${inWords(seconds)}, evenly spaced${burst > 1 ? `, after a quiet time ${burst} at once` : ""}`;
}

/** Say a breaker in words. */
function breakerWords({ failures, probe_seconds: probe }) {
  const many = failures === 1 ? "a failure" : `${failures} failures in a row`;
  return `stops after ${many} and then tries one every ${inWords(probe)}`;
}

/** Make a flow, or change the one with this name. */
export function FlowForm({ name = "" }) {
  return html`<${NamedForm} kind=${KIND} name=${name}>
    ${({ errors, line }) => html`<${Fields} errors=${errors} line=${line} />`}
  <//>`;
}

function Fields({ errors, line }) {
  const text = (label, name, field, note = "") =>
    line(label, name, { inputmode: "numeric", note, field });
  return html`<fieldset>
      <legend>Rate</legend>
      <div class="triple">
        ${text("Requests at most", "requests", "rate.requests", "Empty: as many as come due.")}
        ${text("In so many seconds", "seconds", "rate.seconds")}
        ${text("At once after a quiet time", "burst", "rate.burst")}
      </div>
      ${errors.map((error) => error.field === "rate" && html`<p class="error">${error.message}</p>`)}
    </fieldset>
    <fieldset>
      <legend>Concurrency</legend>
      <div class="triple">${text("Out at once at most", "concurrency", "concurrency", "Empty: any number.")}</div>
    </fieldset>
    <fieldset>
      <legend>A target that does not work</legend>
      <div class="triple">
        ${text("Stop after so many failures in a row", "failures", "breaker.failures", "No answer, or a status of 500 or more. Empty: never.")}
        ${text("Then try one every so many seconds", "probe", "breaker.probe_seconds")}
      </div>
      ${errors.map((error) => error.field === "breaker" && html`<p class="error">${error.message}</p>`)}
    </fieldset>`;
}
