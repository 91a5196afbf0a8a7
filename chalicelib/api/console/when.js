// The trigger of a job, and when it is due.

import { call, useNow } from "./api.js";
import { triggerOf } from "./draft.js";
import { city, elsewhere, moment, relative, ZONE } from "./format.js";
import { Choice, Field } from "./inputs.js";
import { useEffect, useState } from "./preact-hooks.js";
import { cronWords } from "./schedule.js";
import { html } from "./ui.js";

const ZONES = Intl.supportedValuesOf ? ["UTC", ...Intl.supportedValuesOf("timeZone")] : ["UTC"];
const TYPING = 300;

/** @typedef {{times: string[], notes: string[], errors: FieldProblem[], of: string | null}} Preview */

/** @type {Preview} */
const NO_PREVIEW = { times: [], notes: [], errors: [], of: null };

/** Ask when the trigger is due, a moment after it was typed. */
export function usePreview(draft, isSame) {
  const trigger = JSON.stringify(triggerOf(draft));
  const [state, setState] = useState(NO_PREVIEW);
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      const count = draft.kind === "cron" || draft.kind === "every" ? 5 : 1;
      try {
        const { data } = await call("POST", "/triggers/preview", {
          body: `{"trigger":${trigger},"count":${count}}`,
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
  const input = (name) => (event) => set({ [name]: event.target.value });
  const words = draft.kind === "cron" ? cronWords(draft.cron) : null;
  return html`<fieldset>
    <legend>When</legend>
    <div class="field">
      <span class="label-text" id="kind-label">Trigger</span>
      <${Choice} name="kind" labelled="kind-label" value=${draft.kind} options=${{ cron: "Cron", every: "Interval", date: "Date", delay: "Delay" }} onChange=${(kind) => set({ kind })} />
    </div>
    <div class="pair">
      ${
        draft.kind === "cron" &&
        html`<${Field} label="Cron" field="trigger.cron" errors=${errors} note=${words}>
        ${(of) => html`<input ...${of} type="text" class="mono" spellcheck=${false} autocomplete="off" value=${draft.cron} onInput=${input("cron")} />`}
      <//>`
      }
      ${
        draft.kind === "every" &&
        html`<${Field} label="Seconds from one to the next" field="trigger.every" errors=${errors}>
        ${(of) => html`<input ...${of} type="text" inputmode="numeric" value=${draft.every} onInput=${input("every")} />`}
      <//>`
      }
      ${
        draft.kind === "date" &&
        html`<${Field} label="Date" field="trigger.date" errors=${errors}>
        ${(of) => html`<input ...${of} type="datetime-local" step="1" value=${draft.date} onInput=${input("date")} />`}
      <//>`
      }
      ${
        draft.kind === "delay" &&
        html`<${Field} label="Seconds from now" field="trigger.delay" errors=${errors}>
        ${(of) => html`<input ...${of} type="text" inputmode="decimal" value=${draft.delay} onInput=${input("delay")} />`}
      <//>`
      }
      ${
        (draft.kind === "cron" || draft.kind === "date") &&
        html`<${Field} label="Time zone" field="trigger.timezone" errors=${errors}>
        ${(
          of,
        ) => html`<input ...${of} type="text" list="zones" spellcheck=${false} autocomplete="off" value=${draft.timezone} onInput=${input("timezone")} />
          <datalist id="zones">${ZONES.map((zone) => html`<option value=${zone}></option>`)}</datalist>`}
      <//>`
      }
    </div>
    ${draft.kind === "cron" && html`<${ClockChanges} draft=${draft} errors=${errors} input=${input} />`}
    ${errors.filter((error) => error.field === "trigger").map((error) => html`<p class="error">${error.message}</p>`)}
    <${Occurrences} preview=${preview} draft=${draft} />
  </fieldset>`;
}

function ClockChanges({ draft, errors, input }) {
  const choice = (
    label,
    name,
    options,
  ) => html`<${Field} label=${label} field=${`trigger.dst.${name}`} errors=${errors}>
    ${(of) => html`<select ...${of} value=${draft[name]} onChange=${input(name)}>${Object.entries(options).map(([value, words]) => html`<option value=${value}>${words}</option>`)}</select>`}
  <//>`;
  return html`<div class="pair">
    ${choice("A time that clocks skip", "gap", { skip: "does not run", next: "runs after the gap" })}
    ${choice("A time that clocks repeat", "fold", { first: "runs once", both: "runs both times" })}
  </div>`;
}

function Occurrences({ preview, draft }) {
  const now = useNow();
  const zone = draft.kind === "cron" ? draft.timezone : ZONE;
  const differs = preview.times.some(
    (time) => valid(zone) && moment(time, now, zone) !== moment(time, now),
  );
  return html`<div class="occurrences ${preview.isCurrent ? "" : "is-old"}" role="status" aria-label="Next occurrences">
    ${
      preview.times.length > 0 &&
      html`<ol>
      ${preview.times.map(
        (time) =>
          html`<li><span>${moment(time, now)}</span>${differs && html`<span class="note">${elsewhere(time, now, zone)} in ${city(zone)}</span>`}<span class="note">${relative(time, now)}</span></li>`,
      )}
    </ol>`
    }
    ${preview.errors.length > 0 && html`<p class="note">The next times stand here once the trigger is right.</p>`}
    ${preview.notes.map((note) => html`<p class="note">${note}</p>`)}
  </div>`;
}

function valid(zone) {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: zone }));
  } catch {
    return false;
  }
}
