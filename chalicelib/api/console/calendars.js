// Calendars: days on which jobs that name them are not sent; and their form.

import { SELDOM } from "./api.js";
import { messageFor, words as wordsOf } from "./draft.js";
import { city, iso, wall, ZONE } from "./format.js";
import { Field, Zone } from "./inputs.js";
import { Card, NamedForm, NamedList } from "./named.js";
import { html } from "./ui.js";

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
  fields: ["timezone", "days", "weekdays"],
  empty: { timezone: ZONE, days: [], weekdays: [] },
  draft: (calendar) => ({ ...calendar, days: calendar.days.join("\n"), feed: "" }),
  body: ({ timezone, days, weekdays }) => ({
    timezone,
    days: wordsOf(days),
    weekdays: Object.keys(WEEKDAYS).filter((name) => weekdays.includes(name)),
  }),
  text: ({ feed, timezone }) =>
    feed.trim() ? { body: feed, type: "text/calendar", query: { timezone } } : null,
};

/** Show the calendars. */
export function Calendars({ query }) {
  return html`<${NamedList} kind=${KIND} query=${query} every=${SELDOM} none="There are no calendars yet."
    about="A calendar has days, such as holidays, on which jobs that name it are not sent.">
    ${(
      calendar,
      now,
    ) => html`<${Card} key=${calendar.name} kind=${KIND} name=${calendar.name} warning="A calendar that jobs name is not deleted.">
      <p>${words(calendar)}, by the clocks of ${city(calendar.timezone)}.</p>
      <p class="note">${ahead(calendar, now)}</p>
    <//>`}
  <//>`;
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
  const { timezone, days, weekdays, feed } = draft;
  const wrong = messageFor(errors, "weekdays");
  const turn = (name, isOn) =>
    set({ weekdays: [...weekdays.filter((one) => one !== name), ...(isOn ? [name] : [])] });
  const read = async ({ target }) => set({ feed: (await target.files[0]?.text()) ?? "" });
  return html`<details class="paste">
    <summary>Take a holiday feed (iCalendar, .ics)</summary>
    <p><input type="file" accept=".ics,text/calendar" aria-label="File of a holiday feed" onChange=${read} /></p>
    <textarea aria-label="Holiday feed" rows="4" spellcheck=${false} placeholder="BEGIN:VCALENDAR…" value=${feed} onInput=${(event) => set({ feed: event.target.value })}></textarea>
    <p class="note">Its all-day events take the place of all days below, by the time zone below.</p>
  </details>
  <fieldset>
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
