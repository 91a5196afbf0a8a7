"""Calendars and `exclude`, against a walk over all occurrences of the trigger."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from time import process_time

import pytest

from chalicelib.domain import job_transitions, run_transitions
from chalicelib.domain.calendars import Calendar
from chalicelib.domain.cron import Cron, parse
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.exclusion import bound, excluded_by, next_open
from chalicelib.domain.ids import RunKey
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.limits import Limits
from chalicelib.domain.misfires import missed
from chalicelib.domain.occurrences import Due, merged
from chalicelib.domain.preview import preview
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, FinishedAttempt, Outcome, Reason, RunStatus
from chalicelib.domain.spread import placed
from chalicelib.domain.state import State, Status, Transition
from chalicelib.domain.trigger import describe, restore
from tests.domain.cron_oracle import ZONES, place
from tests.domain.test_cron import random_parse
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=count) for count in (1, 60, 3_600, 86_400))
Recurring = Cron | Interval


def calendar(
    name: str = "off", zone: str = "UTC", days: str = "", weekdays: tuple[int, ...] = ()
) -> Calendar:
    """Make a calendar; `days` are written as in the API, with spaces between them."""
    ranges = [text.partition("/") for text in days.split()]
    return Calendar(
        "tenant",
        name,
        zone,
        tuple((date.fromisoformat(one), date.fromisoformat(two or one)) for one, _, two in ranges),
        frozenset(weekdays),
        NOW,
        NOW,
    )


def excluding(trigger: Recurring, *calendars: Calendar) -> Recurring:
    names = tuple(one.name for one in calendars)
    made = bound(replace(trigger, limits=replace(trigger.limits, exclude=names)), calendars)
    assert isinstance(made, Cron | Interval)
    return made


def definition(trigger: Recurring, grace: timedelta | None = None) -> Definition:
    request = Request("https://example.com/", "POST", {}, None)
    return Definition("job_x", "tenant", 1, "job", NOW, trigger, request, misfire_grace=grace)


def is_excluded(calendars: tuple[Calendar, ...], at: datetime) -> bool:
    """Look at each day of each calendar: the walk's own rule."""
    for one in calendars:
        day = at.astimezone(place(one.timezone)).date()
        names = {
            first + ahead * DAY
            for first, last in one.days
            for ahead in range((last - first).days + 1)
        }
        if day in names or day.weekday() in one.weekdays:
            return True
    return False


def walked(trigger: Recurring, count: int) -> list[datetime]:
    """Return the next occurrences of a trigger, whatever calendars exclude."""
    found, at = list[datetime](), trigger.next_after(NOW)
    while at is not None and len(found) < count:
        found.append(at)
        at = trigger.next_after(at)
    return found


def random_calendar(dice: random.Random, name: str) -> Calendar:
    days = []
    for _ in range(dice.randrange(12)):
        first = NOW.date() + dice.randrange(-5, 90) * DAY
        days.append(f"{first}/{first + dice.choice((0, 0, 1, 2, 10)) * DAY}")
    weekdays = tuple(day for day in range(7) if dice.random() < dice.choice((0, 0.2, 0.5)))
    return calendar(name, dice.choice(ZONES), " ".join(days), weekdays)


def random_trigger(dice: random.Random) -> Recurring:
    if dice.random() < 0.3:
        return Interval(dice.choice((3, 7, 25)) * HOUR, NOW + dice.randrange(3_600) * SECOND)
    cron = random_parse(dice, dice.choice(ZONES))
    return placed(replace(cron, spread=3_600), "job_x") if dice.random() < 0.3 else cron


def test_occurrences_that_are_left_are_those_that_a_walk_finds() -> None:
    dice, passed = random.Random(1), 0
    for _ in range(5_000 if IS_SOAK else 40):
        calendars = tuple(
            random_calendar(dice, f"c{number}") for number in range(dice.choice((1, 2)))
        )
        free = random_trigger(dice)
        times = walked(free, 60)
        if dice.random() < 0.3:
            free = replace(free, limits=Limits(ends_at=dice.choice(times)))
            times = [at for at in times if at <= (free.limits.ends_at or at)]
        left = [at for at in times if not is_excluded(calendars, at)]
        trigger = excluding(free, *calendars)
        assert [excluded_by(trigger, at) is None for at in times] == [at in left for at in times]
        found, after = list[datetime](), NOW
        while len(found) < len(left) and (at := next_open(trigger, after)) is not None:
            found.append(at)
            after = at
        assert found == left
        assert describe(restore(describe(trigger))) == describe(trigger)
        passed += len(times) - len(left)
    assert passed > 200


def test_a_day_is_that_of_the_calendars_own_zone() -> None:
    daily = parse("30 23 * * *", "UTC")
    for zone, excluded in (("UTC", 24), ("Asia/Tokyo", 23), ("Pacific/Honolulu", 24)):
        trigger = excluding(daily, calendar(zone=zone, days="2026-11-24"))
        at = datetime(2026, 11, excluded, 23, 30, tzinfo=UTC)
        assert excluded_by(trigger, at) == "off"
        assert excluded_by(trigger, at + DAY) is None


@pytest.mark.parametrize(
    "zone", ["Africa/Cairo", "America/Santiago", "America/Havana", "Asia/Beirut"]
)
def test_a_day_whose_midnight_the_clocks_skip_or_repeat_is_whole(zone: str) -> None:
    off = calendar(zone=zone, weekdays=(0, 1, 2, 3, 5, 6))
    trigger = excluding(Interval(30 * MINUTE, NOW), off)
    times = walked(Interval(30 * MINUTE, NOW), 48 * 400)
    left = [at for at in times if at.astimezone(place(zone)).weekday() == 4]
    found, after = list[datetime](), NOW
    while len(found) < len(left) and (at := next_open(trigger, after)) is not None:
        found.append(at)
        after = at
    assert found == left


@pytest.mark.parametrize(
    "calendars",
    [
        [calendar(weekdays=(0, 1, 2, 3, 4, 5, 6))],
        [calendar("a", weekdays=(0, 1, 2, 3)), calendar("b", weekdays=(4, 5, 6))],
        [calendar(days="1970-01-01/9998-12-31")],
        [calendar("a", days="1970-01-01/2035-01-01"), calendar("b", days="2035-01-02/9998-12-31")],
    ],
)
@pytest.mark.parametrize("cron", ["* * * * *", "0 9 * * *", "30 9 29 2 *"])
def test_calendars_that_exclude_every_day_leave_nothing_within_a_bounded_search(
    calendars: list[Calendar], cron: str
) -> None:
    trigger, began = excluding(parse(cron), *calendars), process_time()
    assert next_open(trigger, NOW) is None
    assert process_time() - began < 1
    with pytest.raises(InvalidInput, match="leave no occurrence within 10 years"):
        job_transitions.create(definition(trigger), None, NOW)
    shown = preview(trigger, NOW, 3)
    assert (shown.times, shown.notes[-1]) == (
        (),
        "The calendars leave none of its times within 10 years",
    )


def test_a_weekly_cron_on_an_excluded_weekday_never_occurs() -> None:
    trigger, began = excluding(parse("0 9 * * 1"), calendar(weekdays=(0,))), process_time()
    assert next_open(trigger, NOW) is None
    assert process_time() - began < 1


def test_near_the_end_of_time_nothing_is_left() -> None:
    trigger = excluding(parse("0 9 * * *"), calendar(days="9990-01-01/9998-12-31"))
    assert next_open(trigger, datetime(9995, 1, 1, tzinfo=UTC)) is None
    assert next_open(trigger, datetime(9998, 12, 30, tzinfo=UTC)) is None


def test_a_calendar_that_does_not_exist_excludes_nothing() -> None:
    cron = replace(parse("0 9 * * *"), limits=Limits(exclude=("gone",)))
    assert next_open(bound(cron, []), NOW) == cron.next_after(NOW)


# The state waits for every occurrence; what the API shows passes over those that are excluded.


def created(trigger: Recurring, grace: timedelta | None = None) -> State:
    return job_transitions.create(definition(trigger, grace), None, NOW).state


def claimed(
    trigger: Recurring, state: State, now: datetime, grace: timedelta | None = None
) -> Transition:
    assert state.next_due_at is not None
    key = RunKey(state.next_due_at, state.generation)
    step = run_transitions.claim(definition(trigger, grace), state, key, "me", now)
    assert isinstance(step, Transition)
    return step


DAILY = parse("0 9 * * *")
TUESDAY, WEDNESDAY = datetime(2026, 11, 24, 9, tzinfo=UTC), datetime(2026, 11, 25, 9, tzinfo=UTC)


def test_an_excluded_occurrence_is_passed_over_without_a_record() -> None:
    trigger = excluding(DAILY, calendar(days="2026-11-24"))
    state = created(trigger)
    assert (state.next_due_at, state.shown_run_time) == (TUESDAY, WEDNESDAY)
    step = claimed(trigger, state, TUESDAY)
    assert (step.send, step.ended, step.again) == (None, (), None)
    assert (step.state.next_due_at, step.state.shown_run_time) == (WEDNESDAY, WEDNESDAY)
    assert step.state.counted == 0
    assert claimed(trigger, step.state, WEDNESDAY).send


def test_what_a_calendar_excludes_only_since_is_recorded_as_skipped() -> None:
    state = created(excluding(DAILY, calendar()))
    assert state.shown_run_time == TUESDAY
    step = claimed(excluding(DAILY, calendar(days="2026-11-24")), state, TUESDAY)
    (end,) = step.ended
    assert (end.status, end.reason, end.calendar) == (RunStatus.SKIPPED, Reason.CALENDAR, "off")
    assert (step.send, step.state.next_due_at) == (None, WEDNESDAY)


def test_what_a_calendar_no_longer_excludes_is_sent_on_time() -> None:
    state = created(excluding(DAILY, calendar(days="2026-11-24/2027-11-24")))
    assert state.shown_run_time == datetime(2027, 11, 25, 9, tzinfo=UTC)
    step = claimed(excluding(DAILY, calendar()), state, TUESDAY)
    assert step.send
    assert step.state.shown_run_time == WEDNESDAY


def test_a_job_waits_on_if_a_calendar_comes_to_exclude_every_day() -> None:
    state = created(excluding(DAILY, calendar()))
    every_day = excluding(DAILY, calendar(weekdays=tuple(range(7))))
    state = claimed(every_day, state, TUESDAY).state
    assert (state.status, state.next_due_at, state.shown_run_time) == (
        Status.ACTIVE,
        WEDNESDAY,
        None,
    )
    assert claimed(excluding(DAILY, calendar()), state, WEDNESDAY).send


def test_skipped_occurrences_do_not_count_for_max_runs() -> None:
    trigger = excluding(replace(DAILY, limits=Limits(max_runs=1)), calendar(days="2026-11-24"))
    step = claimed(trigger, created(excluding(trigger, calendar())), TUESDAY)
    assert (step.state.counted, step.state.next_due_at) == (0, WEDNESDAY)
    last = claimed(trigger, step.state, WEDNESDAY)
    assert (last.state.counted, last.state.next_due_at) == (1, None)


def test_excluded_occurrences_that_have_passed_are_decided_at_once() -> None:
    """A minutely cron was held up for a weekend and an hour."""
    minutely = excluding(parse("* * * * *"), calendar(weekdays=(5, 6)))
    friday = datetime(2026, 11, 27, 23, 59, tzinfo=UTC)
    state = replace(created(minutely), next_due_at=friday + MINUTE)
    step = claimed(minutely, state, friday + 3 * DAY)
    monday = datetime(2026, 11, 30, tzinfo=UTC)
    assert (step.state.next_due_at, step.again is not None) == (monday, True)
    # Within the weekend the next occurrence is waited for.
    step = claimed(minutely, state, friday + DAY)
    assert (step.state.next_due_at, step.again) == (friday + DAY + MINUTE, None)
    assert step.state.shown_run_time == monday


def test_missed_occurrences_are_counted_without_those_that_are_excluded() -> None:
    dice, rows = random.Random(3), 0
    for _ in range(3_000 if IS_SOAK else 40):
        calendars = (random_calendar(dice, "c"),)
        trigger = excluding(random_trigger(dice), *calendars)
        times = [at for at in walked(trigger, 80) if not is_excluded(calendars, at)]
        if len(times) < 3:
            continue
        grace = dice.choice((None, None, HOUR, 5 * HOUR))
        now = dice.choice(times[1:]) + dice.randrange(7_200) * SECOND
        late = [
            at
            for at, following in zip(times, [*times[1:], times[-1] + 99 * DAY], strict=True)
            if (now - at > grace if grace is not None else following <= now)
        ]
        state = created(trigger)
        count, last = missed(definition(trigger, grace), state, times[0], now)
        if now < times[-1]:
            assert (count, last if count else None) == (len(late), late[-1] if late else None)
            rows += count > 1
    assert rows > 5


def test_upcoming_passes_over_what_calendars_exclude() -> None:
    trigger = excluding(DAILY, calendar(days="2026-11-25 2026-11-27"))
    due = Due(definition(trigger), TUESDAY)
    assert [one.due_at.day for one in islice(merged([due], NOW), 3)] == [24, 26, 28]


def ended(trigger: Recurring, *, failing: bool) -> Status:
    """Return the status of a job whose last occurrence is passed over after its last run."""
    state = created(trigger)
    step = claimed(trigger, state, TUESDAY)
    assert step.send
    run = step.send
    result = AttemptResult(Outcome.HTTP_ERROR if failing else Outcome.SUCCESS, SECOND, 404)
    attempt = FinishedAttempt("me", TUESDAY, result)
    done = run_transitions.finish(
        definition(trigger), step.state, run, attempt, 0, TUESDAY + SECOND
    )
    assert isinstance(done, Transition)
    assert done.state.status is Status.ACTIVE
    assert done.state.shown_run_time is None
    return claimed(trigger, done.state, WEDNESDAY).state.status


def test_a_job_whose_last_occurrences_are_excluded_ends_as_its_last_run() -> None:
    bounded = replace(DAILY, limits=Limits(ends_at=WEDNESDAY))
    trigger = excluding(bounded, calendar(days="2026-11-25"))
    assert ended(trigger, failing=False) is Status.COMPLETED
    assert ended(trigger, failing=True) is Status.FAILED


def test_the_preview_names_the_days_that_calendars_exclude() -> None:
    trigger = excluding(
        DAILY, calendar("feast", days="2026-11-25 2026-11-27"), calendar("free", weekdays=(5, 6))
    )
    shown = preview(trigger, NOW, 4)
    assert [at.day for at in shown.times] == [24, 26, 30, 1]
    assert shown.notes == (
        "feast excludes 25 November 2026 and 27 November 2026: nothing is sent for these times",
        "free excludes 28 November 2026 and 29 November 2026: nothing is sent for these times",
    )
    many = preview(excluding(DAILY, calendar(weekdays=(5, 6))), NOW, 30).notes
    assert many == (
        "off excludes 28 November 2026, 29 November 2026, 5 December 2026, 6 December 2026, "
        "12 December 2026 and 7 other days: nothing is sent for these times",
    )
