"""The store of calendars: tenants, pages, concurrent puts, and which jobs name one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.calendar_store import CalendarStore, uses
from chalicelib.domain.calendars import MOST_CALENDARS, Calendar
from chalicelib.domain.errors import CalendarNotFound, QuotaExceeded, Unavailable
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.limits import Limits
from chalicelib.domain.request import Request
from tests.cloud import Cloud, DynamoDB, client_error

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
CHRISTMAS = (date(2026, 12, 24), date(2027, 1, 2))
EASTER = (date(2027, 3, 28), date(2027, 3, 28))


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(lambda: NOW)


@pytest.fixture
def store(cloud: Cloud) -> CalendarStore:
    client: Any = DynamoDB(cloud)
    return CalendarStore(client, "jobs", lambda seconds: None)


def calendar(name: str = "off", **fields: Any) -> Calendar:
    given = {"days": (CHRISTMAS, EASTER), "weekdays": frozenset({5, 6}), **fields}
    made = Calendar("tenant", name, "Europe/Berlin", created_at=NOW, updated_at=NOW, **given)
    return replace(made, **{name: value for name, value in fields.items() if name == "tenant"})


def names(found: list[Calendar]) -> list[str]:
    return [one.name for one in found]


def test_a_calendar_is_read_back_as_it_was_written(store: CalendarStore) -> None:
    for days in ((), (CHRISTMAS,), (EASTER, CHRISTMAS, EASTER)):
        for weekdays in (frozenset[int](), frozenset({0}), frozenset(range(7))):
            made = store.put(calendar(days=days, weekdays=weekdays))
            assert (made.days, made.weekdays) == (days, weekdays)
            assert store.get("tenant", "off") == made
            assert store.named("tenant", ["off", "gone", "off"]) == [made]


def test_a_thousand_days_are_read_for_one_read_unit(store: CalendarStore, cloud: Cloud) -> None:
    days = tuple(
        (day, day) for day in (date(2026, 1, 1) + n * timedelta(days=3) for n in range(1_000))
    )
    assert store.put(calendar(days=days)).days == days
    (item,) = cloud.tables["jobs"].values()
    assert len(item["packed"]["B"]) < 4_000


def test_a_tenant_has_its_own_calendars(store: CalendarStore) -> None:
    store.put(calendar())
    assert store.named("other", ["off"]) == store.page("other", "", 10) == []
    with pytest.raises(CalendarNotFound):
        store.get("other", "off")
    store.delete("other", "off")
    assert store.get("tenant", "off")


def test_pages_are_sorted_by_name(store: CalendarStore) -> None:
    for name in "bdac":
        store.put(calendar(name))
    assert names(store.page("tenant", "", 3)) == ["a", "b", "c"]
    assert names(store.page("tenant", "c", 3)) == ["d"]


def test_a_calendar_keeps_its_time_of_creation(store: CalendarStore) -> None:
    made = store.put(calendar())
    assert store.put(replace(made, created_at=LATER, updated_at=LATER)) == made
    changed = store.put(calendar(days=(), weekdays=frozenset({1})))
    assert (changed.created_at, sorted(changed.weekdays)) == (NOW, [1])


def test_a_late_put_does_not_undo_a_later_one(store: CalendarStore, cloud: Cloud) -> None:
    """Another process puts the calendar between the read and the write of the first one."""
    client: Any = DynamoDB(cloud)
    other = CalendarStore(client, "jobs", lambda seconds: None)
    store.put(calendar(weekdays=frozenset({0})))
    left = [1]

    def between(operation: str, request: dict[str, Any]) -> None:
        del request
        if operation == "PutItem" and left:
            left.clear()
            other.put(calendar(weekdays=frozenset({1})))

    cloud.before = between
    store.put(calendar(weekdays=frozenset({2})))
    item = cloud.tables["jobs"]["calendars#tenant", "off"]
    # Both have been written, one after the other: the first one was read again.
    assert item["revision"]["N"] == "3"
    assert sorted(store.get("tenant", "off").weekdays) == [2]


def test_a_store_that_does_not_answer_is_unavailable(store: CalendarStore, cloud: Cloud) -> None:
    def fail(operation: str, request: dict[str, Any]) -> None:
        del request
        raise client_error("InternalServerError", operation, 500)

    cloud.before = fail
    with pytest.raises(Unavailable):
        store.named("tenant", ["off"])
    with pytest.raises(Unavailable):
        store.put(calendar())


def test_there_are_only_so_many(store: CalendarStore) -> None:
    for number in range(MOST_CALENDARS):
        store.put(calendar(f"c{number}"))
    with pytest.raises(QuotaExceeded):
        store.put(calendar("more"))
    store.put(calendar("c7", days=()))
    store.put(replace(calendar("more"), tenant="other"))


def definition(*exclude: str) -> Definition:
    trigger = Interval(timedelta(minutes=1), NOW, Limits(exclude=exclude))
    return Definition("job_x", "tenant", 1, "job", NOW, trigger, Request("https://a/", "POST", {}))


@pytest.mark.parametrize(
    ("old", "new"), [((), ("a",)), (("a",), ()), (("a", "b"), ("b", "c")), (("a",), ("a",))]
)
def test_a_job_names_what_its_definition_does(
    store: CalendarStore, old: tuple[str, ...], new: tuple[str, ...]
) -> None:
    table = store._table
    for write in uses("jobs", definition(*old)):
        table.write(write)
    for write in uses("jobs", definition(*new), definition(*old)):
        table.write(write)
    for name in "abc":
        assert store.users("tenant", name, 10) == (["job_x"] if name in new else [])
        assert store.users("other", name, 10) == []
    for write in uses("jobs", None, definition(*new)):
        table.write(write)
    assert [store.users("tenant", name, 10) for name in "abc"] == [[], [], []]


def test_what_is_left_of_a_job_is_forgotten(store: CalendarStore) -> None:
    for write in uses("jobs", definition("a")):
        store._table.write(write)
    store.forget("tenant", "a", ["job_x"])
    assert store.users("tenant", "a", 10) == []
