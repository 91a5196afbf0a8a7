// Flows: limits on how jobs, all together, call a target; what waits for them; and their form.

import { EVERY } from "./api.js";
import { number } from "./draft.js";
import { seconds as inWords } from "./format.js";
import { Card, NamedForm, NamedList } from "./named.js";
import { html, Status } from "./ui.js";

const KIND = {
  what: "flow",
  path: "/flows",
  screen: "#/flows",
  names:
    "host:api.example.com for all jobs that call this host and name no other flow, or letters, digits, . - and _.",
  named: "flow",
  fields: ["rate"],
  empty: { rate: null },
  // Fields that the form does not know go back as they came.
  draft: ({ rate, name, state, waiting, out, created_at, updated_at, ...kept }) => ({
    kept,
    requests: String(rate?.requests ?? ""),
    seconds: String(rate?.seconds ?? 1),
    burst: String(rate?.burst ?? 1),
  }),
  body: ({ requests, seconds, burst, kept }) => ({
    ...kept,
    rate: requests.trim()
      ? { requests: number(requests), seconds: number(seconds), burst: number(burst) }
      : null,
  }),
};

/** Show the flows, and what waits for each. */
export function Flows({ query }) {
  return html`<${NamedList} kind=${KIND} query=${query} every=${EVERY} none="There are no flows yet: jobs are sent as they come due."
    about="A flow limits how fast its jobs, all together, call their target.">
    ${(
      flow,
    ) => html`<${Card} key=${flow.name} kind=${KIND} name=${flow.name} warning="Its jobs are then sent as they come due.">
      <p>${flow.rate ? rateWords(flow.rate) : "No limits"}.</p>
      <p>${flow.waiting ? html`<${Status} of="waiting" word=${`${flow.waiting} waiting`} />` : html`<${Status} of="active" word="nothing waits" />`}${flow.out !== null && `, ${flow.out} out`}</p>
    <//>`}
  <//>`;
}

/** Say a rate in words: at most 10 requests in 1 s, 5 of them at once. */
function rateWords({ requests, seconds, burst }) {
  const many = `${requests} ${requests === 1 ? "request" : "requests"}`;
  return `At most ${many} in ${inWords(seconds)}, evenly spaced${burst > 1 ? `, after a quiet time ${burst} at once` : ""}`;
}

/** Make a flow, or change the one with this name. */
export function FlowForm({ name = "" }) {
  return html`<${NamedForm} kind=${KIND} name=${name}>
    ${({ errors, line }) => html`<${Fields} errors=${errors} line=${line} />`}
  <//>`;
}

function Fields({ errors, line }) {
  const text = (label, field, note) =>
    line(label, field, { inputmode: "numeric", note, field: `rate.${field}` });
  return html`<fieldset>
    <legend>Rate</legend>
    <div class="triple">
      ${text("Requests at most", "requests", "Empty: as many as come due.")}
      ${text("In so many seconds", "seconds", null)}
      ${text("At once after a quiet time", "burst", null)}
    </div>
    ${errors.map((error) => error.field === "rate" && html`<p class="error">${error.message}</p>`)}
  </fieldset>`;
}
