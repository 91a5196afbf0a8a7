// The trigger of a job, and when it is due.

import { call, useNow } from "./api.js";
import { triggerOf } from "./draft.js";
import { city, elsewhere, isZone, moment, readable, relative, ZONE } from "./format.js";
import { Choice, Instant, Line, More, Options, Zone } from "./inputs.js";
import { useEffect, useState } from "./preact-hooks.js";
import { cronWords } from "./schedule.js";
import { html, Time } from "./ui.js";

const TYPING = 300;

/** @typedef {{times: string[], notes: string[], errors: FieldProblem[], of: string | null}} Preview */

/** @type {Preview} */
const NO_PREVIEW = { times: [], notes: [], errors: [], of: null };

/** Ask when the trigger is due, a moment after it was typed; `id` is the job's, if there is one. */
export function usePreview(draft, isSame, id) {
  const trigger = JSON.stringify(triggerOf(draft));
  const [state, setState] = useState(NO_PREVIEW);
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      const count = draft.kind === "cron" || draft.kind === "every" ? 5 : 1;
      try {
        const { data } = await call("POST", "/triggers/preview", {
          body: `{"trigger":${trigger},"count":${count}${id ? `,"id":"${id}"` : ""}}`,
          signal: abort.signal,
        });
        setState({ times: data.next_run_times, notes: data.notes, errors: [], of: trigger });
      } catch (problem) {
        if (abort.signal.aborted) return;
        // The date of a job that has run is no mistake as long as it is not changed.
        const errors = isSame ? [] : (problem.errors ?? []);
        setState({
          times: [],
          notes: errors.length || isSame ? [] : [problem.message],
          errors,
          of: trigger,
        });
      }
    }, TYPING);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [trigger]);
  return { ...state, isCurrent: state.of === trigger };
}

/** The fields of a trigger. */
export function When({ draft, set, errors, preview }) {
  const { kind } = draft;
  const of = (name) => ({
    field: `trigger.${name}`,
    errors,
    value: draft[name],
    onChange: (text) => set({ [name]: text }),
  });
  const zone = html`<${Zone} ...${of("timezone")} />`;
  const line = (label, name, more = {}) =>
    html`<${Line} label=${label} ...${of(name)} ...${more} />`;
  const instant = (label, name) => html`<${Instant} label=${label} ...${of(name)} />`;
  return html`<fieldset>
    <legend>When</legend>
    <div class="field">
      <span class="label-text" id="kind-label">Trigger</span>
      <${Choice} name="kind" labelled="kind-label" value=${kind} options=${{ cron: "Cron", every: "Interval", date: "Date", delay: "Delay" }} onChange=${(kind) => set({ kind })} />
    </div>
    <div class="pair">
      ${kind === "cron" && line("Cron", "cron", { class: "mono", note: cronWords(draft.cron) })}
      ${kind === "every" && line("Seconds from one to the next", "every", { inputmode: "numeric" })}
      ${kind === "date" && instant("Date", "date")}
      ${kind === "delay" && line("Seconds from now", "delay", { inputmode: "decimal" })}
      ${(kind === "cron" || kind === "date") && zone}
    </div>
    ${(kind === "cron" || kind === "every") && html`<${Bounds} draft=${draft} set=${set} errors=${errors} line=${line} instant=${instant} zone=${zone} />`}
    ${errors.map((error) => error.field === "trigger" && html`<p class="error">${readable(error.message)}</p>`)}
    <${Occurrences} preview=${preview} draft=${draft} />
  </fieldset>`;
}

/** From when, until when and how often a trigger occurs, and what clock changes do to a cron. */
function Bounds({ draft, set, errors, line, instant, zone }) {
  const { kind, starts_at, ends_at, max_runs, spread, exclude, gap, fold } = draft;
  const isCron = kind === "cron";
  const choice = (label, name, options) =>
    html`<${Options} label=${label} field=${`trigger.dst.${name}`} errors=${errors} value=${draft[name]} options=${options} onChange=${(value) => set({ [name]: value })} />`;
  return html`<${More} words=${`More: begin, end, number of runs, calendars${isCron ? ", spread, clock changes" : ""}`} fields=${["starts_at", "ends_at", "max_runs", "spread", "exclude", "dst"].map((name) => `trigger.${name}`)} errors=${errors}
    isUsed=${Boolean(starts_at || ends_at || max_runs || exclude || (isCron && (spread || gap !== "skip" || fold !== "first")))}>
    <div class="pair">${instant("Not before", "starts_at")}${instant("Not after", "ends_at")}</div>
    <div class="pair">
      ${line("Occurrences at most", "max_runs", { inputmode: "numeric" })}
      ${isCron && line("Spread over, s", "spread", { inputmode: "numeric", note: "Delays the job by a fixed number of seconds, less than this." })}
      ${!isCron && (starts_at || ends_at) && zone}
    </div>
    ${line("Not on the days of calendars", "exclude", { placeholder: "holidays-de, weekends", note: "Names of calendars, separated by commas." })}
    ${
      isCron &&
      html`<div class="pair">
        ${choice("A time that clocks skip", "gap", { skip: "does not run", next: "runs after the gap" })}
        ${choice("A time that clocks repeat", "fold", { first: "runs once", both: "runs both times" })}
      </div>`
    }
  <//>`;
}

function Occurrences({ preview, draft }) {
  const now = useNow();
  const zone = draft.kind === "cron" ? draft.timezone : ZONE;
  const differs = preview.times.some(
    (time) => isZone(zone) && moment(time, now, zone) !== moment(time, now),
  );
  return html`<div class="occurrences ${preview.isCurrent ? "" : "is-old"}" role="status" aria-label="Next occurrences">
    ${
      preview.times.length > 0 &&
      html`<ol>
      ${preview.times.map(
        (time) =>
          html`<li><${Time} of=${time} now=${now} />${differs && html`<span class="note">${elsewhere(time, now, zone)} in ${city(zone)}</span>`}<span class="note">${relative(time, now)}</span></li>`,
      )}
    </ol>`
    }
    ${preview.errors.length > 0 && html`<p class="note">The next times are shown here once the trigger is right.</p>`}
    ${preview.notes.map((note) => html`<p class="note">${readable(note)}</p>`)}
  </div>`;
}
