// Calendars: days on which jobs that name them are not sent; and their form.

import { call, filtersOf, get, path, SELDOM, to, useAnswer, useNow } from "./api.js";
import { messageFor, words as wordsOf } from "./draft.js";
import { city, iso, wall, ZONE } from "./format.js";
import { Field, Zone } from "./inputs.js";
import { NamedForm, pathOfNamed } from "./named.js";
import { useState } from "./preact-hooks.js";
import {
  Change,
  ChangeLink,
  Confirm,
  Failure,
  Heading,
  html,
  Loading,
  Pages,
  useAct,
} from "./ui.js";

const WEEKDAYS = {
  mon: "Monday",
  tue: "Tuesday",
  wed: "Wednesday",
  thu: "Thursday",
  fri: "Friday",
  sat: "Saturday",
  sun: "Sunday",
};
const KIND = {
  what: "calendar",
  path: "/calendars",
  screen: "#/calendars",
  names: "Letters, digits, - and _, such as holidays-de.",
  empty: { timezone: ZONE, days: [], weekdays: [] },
  draft: (calendar) => ({ ...calendar, days: calendar.days.join("\n") }),
  body: ({ timezone, days, weekdays }) => ({
    timezone,
    days: wordsOf(days),
    weekdays: Object.keys(WEEKDAYS).filter((name) => weekdays.includes(name)),
  }),
};

/** Show the calendars. */
export function Calendars({ query }) {
  const now = useNow();
  const filters = filtersOf(query, ["cursor"]);
  const question = path("/calendars", filters);
  const { data, error, at, isLoading } = useAnswer(question, (signal) => get(question, signal), {
    every: SELDOM,
  });
  const calendars = data?.data ?? [];
  return html`
    <div class="title">
      <${Heading} title="Calendars" />
      <${ChangeLink} kind="primary" href="#/calendars/new">New calendar<//>
    </div>
    <p class="note">A calendar has days, such as holidays, on which jobs that name it are not sent.</p>
    <${Failure} error=${error} stale=${at} now=${now} />
    ${isLoading && html`<${Loading} />`}
    ${data && !calendars.length && html`<p class="empty">There are no calendars yet.</p>`}
    ${calendars.length > 0 && html`<ul class="list cards calendars">${calendars.map((calendar) => html`<${Calendar} key=${calendar.name} calendar=${calendar} now=${now} />`)}</ul>`}
    <${Pages} of="calendars" path="/calendars" filters=${filters} next=${data?.next} />
  `;
}

function Calendar({ calendar, now }) {
  const { name, timezone } = calendar;
  const [isAsking, ask] = useState(false);
  const { act, refused } = useAct();
  const edit = to(`/calendars/${name}/edit`);
  async function remove() {
    await act("The calendar was deleted.", () => call("DELETE", pathOfNamed(KIND, name)));
    ask(false);
  }
  return html`<li data-row>
    <h2><a data-main href=${edit}>${name}</a></h2>
    <p>${words(calendar)}, by the clocks of ${city(timezone)}.</p>
    <p class="note">${ahead(calendar, now)}</p>
    <p class="buttons">
      <${ChangeLink} kind="small" label=${`Edit ${name}`} href=${edit}>Edit<//>
      <${Change} kind="small danger" label=${`Delete ${name}…`} onClick=${() => ask(true)}>Delete…<//>
    </p>
    <${Failure} error=${refused} />
    ${
      isAsking &&
      html`<${Confirm} title="Delete this calendar?" action=${`Delete ${name}`} onClose=${() => ask(false)} onConfirm=${remove}>
      <p>A calendar that jobs name is not deleted.</p>
    <//>`
    }
  </li>`;
}

/** Say which days a calendar has: Saturdays, Sundays and 12 dates. */
function words({ days, weekdays }) {
  const parts = weekdays.map((name) => `${WEEKDAYS[name]}s`);
  if (days.length || !parts.length)
    parts.push(
      days.length === 1 ? "1 date or range of dates" : `${days.length || "no"} dates or ranges`,
    );
  return parts.join(", ").replace(/, ([^,]*)$/, " and $1");
}

/** Say which of its dates come next. */
function ahead({ days, timezone }, now) {
  const today = wall(iso(now), timezone).slice(0, 10);
  const next = days.filter((day) => day.slice(-10) >= today).sort();
  if (!next.length) return days.length ? "All its dates have passed." : "";
  const shown = next.slice(0, 3).join(", ").replaceAll("/", " to ");
  return `Next: ${shown}${next.length > 3 ? ` and ${next.length - 3} more` : ""}.`;
}

/** Make a calendar, or change the one with this name. */
export function CalendarForm({ name = "" }) {
  return html`<${NamedForm} kind=${KIND} name=${name}>
    ${(place) => html`<${Fields} ...${place} />`}
  <//>`;
}

function Fields({ draft, set, errors }) {
  const { timezone, days, weekdays } = draft;
  const wrong = messageFor(errors, "weekdays");
  const turn = (name, isOn) =>
    set({ weekdays: [...weekdays.filter((one) => one !== name), ...(isOn ? [name] : [])] });
  return html`<fieldset>
    <legend>Days</legend>
    <div class="field" role="group" aria-label="Days of every week" aria-describedby="weekdays-error">
      ${Object.entries(WEEKDAYS).map(
        ([name, word]) =>
          html`<label class="check"><input type="checkbox" checked=${weekdays.includes(name)} aria-invalid=${wrong ? "true" : null} onChange=${({ target }) => turn(name, target.checked)} /> ${word}s</label>`,
      )}
      <p class="error" id="weekdays-error">${wrong}</p>
    </div>
    <${Field} label="Dates" field="days" errors=${errors} note="A date or a range of dates on each line: 2026-12-25 or 2026-12-24/2027-01-02, both ends in.">
      ${(of) => html`<textarea ...${of} rows="10" spellcheck=${false} value=${days} onInput=${(event) => set({ days: event.target.value })}></textarea>`}
    <//>
    <${Zone} field="timezone" errors=${errors} value=${timezone} note="An occurrence is on the day that the clocks of this zone show." onChange=${(zone) => set({ timezone: zone })} />
  </fieldset>`;
}
