"""Calendars in the simulation: clients that change them, and what the observer knows of them.

A calendar of the simulation excludes Mondays or nothing: the day on which all of it happens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from chalicelib.aws.packing import unpacked
from tests.cloud import Item

if TYPE_CHECKING:
    from tests.simulation.clients import Clients
    from tests.simulation.scenarios import Stage

MONDAYS: dict[str, list[str]] = {"weekdays": ["mon"]}
NOTHING: dict[str, list[str]] = {"weekdays": []}
_MONDAY = 0
MINUTELY = {"cron": "* * * * *", "exclude": ["a"]}


class CalendarHistory:
    """Which calendars exclude the day, each time that one was changed."""

    def __init__(self) -> None:
        self._versions: list[tuple[float, frozenset[str]]] = [(0.0, frozenset())]

    def saw(self, name: str, item: Item | None, at: float) -> None:
        """Take in the write of a calendar."""
        is_closed = (
            item is not None and _MONDAY in json.loads(unpacked(item["packed"]["B"]))["weekdays"]
        )
        before = self._versions[-1][1]
        self._versions.append((at, before | {name} if is_closed else before - {name}))

    def verdicts(self, names: Sequence[str], since: float) -> set[str | None]:
        """Return which calendar excluded the day for whoever names these, at each time since."""
        begun = [at for at, _ in self._versions if at <= since]
        versions = [closed for at, closed in self._versions if at >= begun[-1]]
        return {next((name for name in names if name in closed), None) for closed in versions}


def change(clients: Clients, name: str, calendar: dict[str, list[str]]) -> bool:
    """Put a calendar; return whether that was answered."""
    answer, _ = clients.deployment.ask("PUT", f"/calendars/{name}", calendar)
    clients.hold(answer is None or answer[0] in (200, 503), "a calendar can be put", answer)
    return answer is not None and answer[0] == 200


def delete(clients: Clients, name: str) -> int | None:
    """Delete a calendar: it is refused while an acknowledged job names it."""
    histories = clients.deployment.observer.job_histories
    users = [
        job_id
        for job_id in clients.acknowledged.created_at
        if job_id not in clients.acknowledged.delete_begun
        and name in histories[job_id].definitions[-1][1].trigger.limits.exclude
    ]
    answer, _ = clients.deployment.ask("DELETE", f"/calendars/{name}")
    if answer is None:
        return None
    still = [one for one in users if one not in clients.acknowledged.delete_begun]
    named = [
        one for one in still if name in histories[one].definitions[-1][1].trigger.limits.exclude
    ]
    clients.hold(answer[0] != 204 or not named, "a calendar that is named is not deleted", named)
    return answer[0]


# Scripts


def _put(stage: Stage, name: str, calendar: dict[str, list[str]]) -> None:
    for _ in range(4):
        if change(stage.clients, name, calendar):
            return
        stage.wait(1)


def _until(stage: Stage, second: float) -> None:
    stage.wait(max(0.0, second - stage.clients.virtual_time.time))


def a_calendar_that_changes_just_before_an_occurrence(stage: Stage) -> None:
    """The executor has read the job by then. Later the day is opened again, as late."""
    _put(stage, "a", NOTHING)
    job_id = stage.job(trigger=MINUTELY)
    _until(stage, 59.8)
    _put(stage, "a", MONDAYS)
    _until(stage, 179.8)
    _put(stage, "a", NOTHING)
    stage.wait(65)
    stage.ask("DELETE", job_id)


def a_calendar_that_changes_within_a_pause(stage: Stage) -> None:
    """What comes due as the pause ends was not promised, so that nothing records it."""
    _put(stage, "a", NOTHING)
    job_id = stage.job(trigger=MINUTELY)
    stage.pause(job_id, 60)
    _until(stage, 30)
    _put(stage, "a", MONDAYS)
    _until(stage, 90)
    stage.pause(job_id, 30)
    _put(stage, "a", NOTHING)
    stage.wait(35)
    stage.ask("DELETE", job_id)


def a_calendar_and_a_schedule(stage: Stage) -> None:
    """A cron that is woken, and an interval; both are excluded when they are made."""
    _put(stage, "a", NOTHING)
    _put(stage, "b", MONDAYS)
    first = stage.job(trigger={"cron": "0-40/2 0-22 * * *", "spread": 60, "exclude": ["a", "b"]})
    second = stage.job(trigger={"every": 25, "max_runs": 3, "exclude": ["b"]})
    stage.wait(130)
    _put(stage, "b", NOTHING)
    stage.wait(130)
    _put(stage, "a", MONDAYS)
    stage.wait(130)
    for job_id in (first, second):
        stage.ask("DELETE", job_id)


def a_calendar_while_messages_are_lost(stage: Stage) -> None:
    """Some occurrences are found late: those of the excluded minutes are not counted as missed."""
    stage.deployment.observer.is_fine = False
    _put(stage, "a", NOTHING)
    job_id = stage.job(trigger={"every": 10, "exclude": ["a"]})
    stage.wait(12)
    stage.deployment.cloud.messages.clear()
    stage.wait(15)
    _put(stage, "a", MONDAYS)
    stage.wait(100)
    stage.deployment.cloud.messages.clear()
    stage.wait(30)
    _put(stage, "a", NOTHING)
    stage.wait(100)
    stage.ask("DELETE", job_id)


def a_calendar_that_is_deleted(stage: Stage) -> None:
    """Not before the last job that names it is changed or gone."""
    _put(stage, "a", MONDAYS)
    job_id = stage.job(trigger=MINUTELY)
    delete(stage.clients, "a")
    stage.ask("POST", job_id, "/pause")
    stage.ask("POST", job_id, "/resume")
    stage.wait(65)
    stage.ask("PATCH", job_id, body={"trigger": {"cron": "* * * * *"}})
    for _ in range(4):
        if delete(stage.clients, "a") in (204, 404):
            break
        stage.wait(1)
    stage.wait(65)
    stage.ask("DELETE", job_id)


def a_calendar_that_changes_within_a_backfill(stage: Stage) -> None:
    """Once while one of its runs is in flight, once while one is queued."""
    deployment, held = stage.deployment, list[str]()
    stage.answers[:] = [200, 0]
    _put(stage, "a", NOTHING)
    job_id = stage.job(trigger=MINUTELY, retry={"max_attempts": 1})
    backfill = partial(stage.clients.backfill, job_id, 5)
    stage.repeat(backfill)
    stage.wait(1)
    _put(stage, "a", MONDAYS)
    stage.wait(6)
    _put(stage, "a", NOTHING)
    deployment.arrives = held.append
    stage.repeat(backfill)
    deployment.arrives = None
    _put(stage, "a", MONDAYS)
    deployment.virtual_time.at(deployment.virtual_time.time + 1, partial(deployment.deliver, held))
    stage.wait(5)
    stage.ask("DELETE", job_id)


SCRIPTS: tuple[Callable[[Stage], None], ...] = (
    a_calendar_that_changes_just_before_an_occurrence,
    a_calendar_that_changes_within_a_pause,
    a_calendar_and_a_schedule,
    a_calendar_while_messages_are_lost,
    a_calendar_that_is_deleted,
    a_calendar_that_changes_within_a_backfill,
)
