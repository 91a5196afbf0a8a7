// A schedule in words. Pure functions.
//
// The words are made from the numbers that a cron's fields stand for. A cron that has no short and
// certain words has none: its expression is shown instead.

import { city, seconds as inWords, moment, whole } from "./format.js";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS =
  "January February March April May June July August September October November December".split(
    " ",
  );
const MACROS = {
  "@hourly": "0 * * * *",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@weekly": "0 0 * * 0",
  "@monthly": "0 0 1 * *",
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
};
const UNITS = { day: 86400, hour: 3600, minute: 60, second: 1 };
const ALL_DAYS = Array.from({ length: 31 }, (_, place) => place + 1);
const ALL_WEEK = [0, 1, 2, 3, 4, 5, 6];
const NTH = ["", "first", "second", "third", "fourth"];
// How many times, days or months are listed; of more, the expression is shorter.
const LISTED = 4;

/** Return a job's schedule in words. */
export function scheduleWords(trigger, now) {
  if (trigger.type === "one-time") return `once, ${moment(trigger.fields.date, now)}`;
  return [recurrenceWords(trigger), ...boundWords(trigger, now)].join(", ");
}

function recurrenceWords({ type, fields }) {
  if (type === "interval") return intervalWords(fields.every);
  return `${cronWords(fields.cron) || fields.cron}, ${city(fields.timezone)}`;
}

/** Return the length of an interval in words, in the largest unit of which it has a whole number. */
function intervalWords(seconds) {
  const unit = Object.keys(UNITS).find((name) => seconds % UNITS[name] === 0) || "second";
  const count = seconds / UNITS[unit];
  return count === 1 ? `every ${unit}` : `every ${count} ${unit}s`;
}

/** Return the bounds of a trigger in words, without a start that has passed. */
function boundWords({ fields }, now) {
  const { starts_at, ends_at, max_runs, spread, exclude } = fields;
  const isToCome = starts_at && new Date(starts_at) > now;
  return [
    spread && spreadWords(spread),
    isToCome && `from ${moment(starts_at, now)}`,
    ends_at && `until ${moment(ends_at, now)}`,
    max_runs && timesWords(max_runs),
    exclude && excludeWords(exclude),
  ].filter(Boolean);
}

function spreadWords(seconds) {
  return `spread over ${inWords(seconds)}`;
}

function excludeWords(calendars) {
  return `not on days of ${calendars.join(", ")}`;
}

function timesWords(most) {
  return `${most === 1 ? "once" : `${most} times`} at most`;
}

/** Return a trigger with all that it says, for one who knows crons. */
export function triggerWords({ type, fields }) {
  const { date, cron, timezone, dst, every, starts_at, ends_at, max_runs, spread, exclude } =
    fields;
  if (type === "one-time") return whole(date);
  const bounds = [
    spread && spreadWords(spread),
    starts_at && `from ${whole(starts_at, timezone)}`,
    ends_at && `until ${whole(ends_at, timezone)}`,
    max_runs && timesWords(max_runs),
    exclude && excludeWords(exclude),
  ];
  const recurs = type === "cron" ? `${cron} in ${timezone}` : intervalWords(every);
  return [recurs, ...bounds, clockWords(dst)].filter(Boolean).join(", ");
}

function clockWords(dst) {
  if (!dst) return "";
  const gap = dst.gap === "next" ? "after the gap" : "not";
  const fold = dst.fold === "both" ? "both times" : "once";
  return `runs ${gap} if clocks skip its time, ${fold} if they repeat it`;
}

/**
 * Return a cron expression in words; null for one that has none, to be shown itself.
 *
 * @param {string} cron
 */
export function cronWords(cron) {
  const text = cron.trim().toLowerCase();
  const fields = (MACROS[text] || text).split(/\s+/);
  if (fields.length !== 5) return null;
  const minutes = numbers(fields[0], 0, 59);
  const hours = numbers(fields[1], 0, 23);
  const months = numbers(fields[3], 1, 12, ["", ...MONTHS]);
  if (!minutes || !hours || !months) return null;
  const on = oneDayWords(fields[2], months, fields[4]) ?? daysWords(fields[2], months, fields[4]);
  const at = timeWords(minutes, hours);
  if (on === null || at === null) return null;
  return [on || (at.startsWith("at") ? "daily" : ""), at].filter(Boolean).join(" ");
}

/** Return the words of a day that is in every month, such as the last Friday; null for others. */
function oneDayWords(day, months, weekday) {
  const which =
    (weekday === "*" && dayOfMonth(day)) || (day === "*" && nthOfMonth(weekday)) || null;
  const within = monthWords(months);
  return which && within !== null ? `on the ${which} of ${within || "each month"}` : null;
}

function dayOfMonth(day) {
  const near = /^(\d+)w$/.exec(day);
  if (near && Number(near[1]) <= 28) return `weekday nearest to day ${near[1]}`;
  return { l: "last day", lw: "last weekday" }[day];
}

function nthOfMonth(weekday) {
  const [, day, nth] = /^([0-7]|[a-z]{3})(?:l|#([1-4]))$/.exec(weekday) || [];
  const name = DAYS[number(day, DAYS) % 7];
  return name && `${nth ? NTH[nth] : "last"} ${name}`;
}

function daysWords(day, months, weekday) {
  const days = numbers(day, 1, 31);
  const weekdays = numbers(weekday, 0, 7, DAYS);
  if (!days || !weekdays) return null;
  const week = [...new Set(weekdays.map((each) => each % 7))].sort((a, b) => a - b);
  // As in Vixie cron: either is enough, unless one of the two begins with a star.
  const isEither = !day.startsWith("*") && !weekday.startsWith("*");
  const isDaily = isEither && (days.length === 31 || week.length === 7);
  return isDaily ? dayWords(ALL_DAYS, months, ALL_WEEK) : dayWords(days, months, week);
}

/** Return the numbers that a field stands for, in order; null if it is not a list of ranges. */
function numbers(field, least, most, names = []) {
  const found = new Set();
  for (const part of field.split(",")) {
    const [range, step, ...more] = part.split("/");
    const [first, last, ...rest] = range === "*" ? [`${least}`, `${most}`] : range.split("-");
    const from = number(first, names);
    const size = step === undefined ? 1 : number(step);
    const to = last !== undefined ? number(last, names) : step === undefined ? from : most;
    const isRange = least <= from && from <= to && to <= most && size > 0;
    if (!isRange || more.length || rest.length) return null;
    for (let each = from; each <= to; each += size) found.add(each);
  }
  return [...found].sort((a, b) => a - b);
}

function number(word, names = []) {
  const named = names.findIndex((name) => name.slice(0, 3).toLowerCase() === word);
  return named >= 0 ? named : /^\d+$/.test(word) ? Number(word) : Number.NaN;
}

/** Return the distance between all neighbours; null if it is not one. */
function stepOf(found) {
  const step = found[1] - found[0];
  return found.every((each, place) => each === found[0] + place * step) ? step : null;
}

function timeWords(minutes, hours) {
  const step = minutes.length > 1 ? stepOf(minutes) : null;
  // They go round the clock evenly: */15, but not */7.
  const isEven = step !== null && minutes[0] === 0 && minutes.length * step === 60;
  if (isEven) return evenly(step, hours);
  if (hours.length === 24 && minutes.length <= LISTED) {
    const past = minutes.map((each) => `:${pad(each)}`).join(", ");
    return past === ":00" ? "every hour" : `every hour at ${past}`;
  }
  if (minutes.length === 1 && hours.length > 2 && stepOf(hours) !== null) {
    return hourly(stepOf(hours), hours, minutes[0]);
  }
  if (hours.length * minutes.length > LISTED) return null;
  const times = hours.flatMap((hour) => minutes.map((minute) => time(hour, minute)));
  return `at ${times.join(", ")}`;
}

function evenly(step, hours) {
  const words = step === 1 ? "every minute" : `every ${step} minutes`;
  if (hours.length === 24) return words;
  if (hours.length > 1 && stepOf(hours) !== 1) return null;
  return `${words} from ${time(hours[0], 0)} to ${time(hours.at(-1), 60 - step)}`;
}

function hourly(step, hours, minute) {
  const words = step === 1 ? "every hour" : `every ${step} hours`;
  const isRound = hours[0] === 0 && minute === 0 && hours.length * step === 24;
  return isRound
    ? words
    : `${words} from ${time(hours[0], minute)} to ${time(hours.at(-1), minute)}`;
}

function dayWords(days, months, week) {
  const always = {
    days: days.length === 31,
    months: months.length === 12,
    week: week.length === 7,
  };
  // With both, a cron means either or both, by a rule that no short sentence says.
  if (!always.days && !always.week) return null;
  const within = monthWords(months);
  if (within === null) return null;
  if (!always.week) return `${weekWords(week)}${within && ` in ${within}`}`;
  if (always.days) return within && `daily in ${within}`;
  return dateWords(days, within, months);
}

/** Return the names of months, none for all twelve; null for more than are listed. */
function monthWords(months) {
  if (months.length === 12) return "";
  return listed(
    months.map((month) => MONTHS[month - 1]),
    stepOf(months),
  );
}

function weekWords(week) {
  const text = week.join("");
  if (text === "12345") return "weekdays";
  if (text === "06") return "weekends";
  if (week.length === 1) return `${DAYS[week[0]]}s`;
  return listed(
    week.map((day) => DAYS[day].slice(0, 3)),
    stepOf(week),
    7,
  );
}

function dateWords(days, within, months) {
  const which = listed(days, stepOf(days));
  if (which === null) return null;
  if (days.length === 1 && months.length === 1) {
    const leap = days[0] === 29 && months[0] === 2 ? " in leap years" : "";
    return `every year on ${days[0]} ${MONTHS[months[0] - 1]}${leap}`;
  }
  const isOne = days.length === 1;
  const on = `on ${isOne ? "day" : "days"} ${which} of`;
  if (within) return `${on} ${within}`;
  const isRare = days.at(-1) > 28;
  return `${on} each month${isRare ? ` that has ${isOne ? "it" : "them"}` : ""}`;
}

function listed(words, step, most = LISTED) {
  if (words.length > 2 && step === 1) return `${words[0]} to ${words.at(-1)}`;
  return words.length > most ? null : words.join(", ");
}

function time(hour, minute) {
  return `${pad(hour)}:${pad(minute)}`;
}

function pad(number) {
  return String(number).padStart(2, "0");
}
