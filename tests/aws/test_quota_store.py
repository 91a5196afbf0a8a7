"""Quotas: concurrent registrations never exceed them, and no error in a count lasts."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from chalicelib.aws.quota_store import QuotaStore
from chalicelib.domain.errors import QuotaExceeded, Unavailable
from chalicelib.domain.ids import least_job_id, new_job_id
from chalicelib.domain.quota import Quotas
from tests.bench.meter import MeteredCloud, Usage
from tests.cloud import Cloud, DynamoDB, client_error
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, 0, 20, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


class Locked(Cloud):
    """A cloud for threads: as in DynamoDB, a call has its effect all at once."""

    lock = threading.Lock()

    def called(self, operation: str, request: dict[str, Any], effect: Callable[[], Any]) -> Any:
        with self.lock:
            return super().called(operation, request, effect)


def store(cloud: Cloud, jobs: int = 0, registrations: int = 0) -> QuotaStore:
    client: Any = DynamoDB(cloud)
    return QuotaStore(client, "jobs", Quotas(jobs, registrations), sleep=lambda seconds: None)


def register(cloud: Cloud, quotas: QuotaStore, now: datetime, tenant: str = "t") -> str | None:
    """Take from the quotas and make a job as a create does; None if that is refused."""
    try:
        quotas.take(tenant, now)
    except QuotaExceeded:
        return None
    job_id = new_job_id(now)
    cloud.tables["jobs"][job_id, "definition"] = {
        "id": {"S": job_id},
        "part": {"S": "definition"},
        "tenant": {"S": tenant},
    }
    return job_id


def jobs(cloud: Cloud, tenant: str = "t") -> list[str]:
    return [
        key[0] for key, item in cloud.tables["jobs"].items() if item.get("tenant") == {"S": tenant}
    ]


def at_once(clients: int, act: Callable[[], Any], each: int = 10) -> list[Any]:
    with ThreadPoolExecutor(clients) as threads:
        return [
            done
            for many in threads.map(lambda _: [act() for _ in range(each)], range(clients))
            for done in many
        ]


def test_fifty_clients_at_once_register_exactly_the_quota_of_a_minute_and_in_the_next_again() -> (
    None
):
    cloud = Locked(lambda: NOW)
    quotas = store(cloud, registrations=120)
    for minute in range(3):
        done = at_once(50, partial(register, cloud, quotas, NOW + minute * MINUTE))
        assert len([one for one in done if one]) == 120


def test_fifty_clients_at_once_make_exactly_the_quota_of_jobs() -> None:
    cloud = Locked(lambda: NOW)
    quotas = store(cloud, jobs=120)
    done = at_once(50, lambda: register(cloud, quotas, NOW))
    assert len([one for one in done if one]) == len(jobs(cloud)) == 120


def test_after_deletes_as_many_are_accepted_again() -> None:
    cloud = Locked(lambda: NOW)
    quotas = store(cloud, jobs=100)
    at_once(10, lambda: register(cloud, quotas, NOW), each=20)
    for job_id in jobs(cloud)[:30]:
        del cloud.tables["jobs"][job_id, "definition"]
    done = at_once(50, lambda: register(cloud, quotas, NOW + 3 * MINUTE))
    assert len([one for one in done if one]) == 30
    assert len(jobs(cloud)) == 100


@pytest.mark.parametrize("seed", range(30 if IS_SOAK else 10))
def test_there_are_never_more_jobs_than_the_quota_and_after_two_minutes_of_rest_never_fewer(
    seed: int,
) -> None:
    """Whatever happens: deletes, registrations that fail, answers that get lost and are asked for
    again, clocks that differ.
    """
    chance, cloud, now = random.Random(seed), Cloud(lambda: NOW), NOW
    quotas = store(cloud, jobs=20)

    def lose(operation: str, request: dict[str, Any]) -> None:
        if operation == "UpdateItem" and chance.random() < 0.1:
            raise client_error("ThrottlingException", operation)

    cloud.after = lose
    for _ in range(300):
        now += chance.choice((0, 1, 15, 60, 200)) * SECOND
        kind = chance.random()
        if kind < 0.6:
            register(cloud, quotas, now + chance.choice((-20, 0, 20)) * SECOND)
        elif kind < 0.8 and jobs(cloud):
            del cloud.tables["jobs"][chance.choice(jobs(cloud)), "definition"]
        elif kind < 0.9:
            try:
                quotas.take("t", now)
            except QuotaExceeded:
                continue
        assert len(jobs(cloud)) <= 20
    cloud.after = lambda operation, request: None
    now += 3 * MINUTE
    while register(cloud, quotas, now):
        continue
    assert len(jobs(cloud)) == 20


def test_tenants_have_quotas_of_their_own() -> None:
    cloud = Cloud(lambda: NOW)
    quotas = store(cloud, jobs=1)
    assert register(cloud, quotas, NOW, "a")
    assert register(cloud, quotas, NOW, "b")
    assert not register(cloud, quotas, NOW, "a")


def test_jobs_that_were_there_before_the_quota_count() -> None:
    cloud = Cloud(lambda: NOW)
    for number in range(9):
        register(cloud, store(cloud), NOW - number * MINUTE)
    del cloud.tables["jobs"]["quota#t", "quota"]
    quotas = store(cloud, jobs=10)
    assert [bool(register(cloud, quotas, NOW)) for _ in range(3)] == [True, False, False]


def test_a_registration_costs_one_write_and_the_first_of_a_minute_three() -> None:
    cloud = MeteredCloud(lambda: NOW)
    quotas = store(cloud, 1000, 1000)
    used = []
    for at in (NOW, NOW, NOW + SECOND, NOW + MINUTE, NOW + MINUTE):
        quotas.take("t", at)
        used.append(cloud.taken())
    # A refused update costs what a write costs; what is there is then read, and written for the new
    # minute.
    assert used[1:] == [Usage(writes=1), Usage(writes=1), Usage(writes=3, reads=1), Usage(writes=1)]


def test_what_is_refused_costs_one_write_and_one_read_and_no_count() -> None:
    cloud = MeteredCloud(lambda: NOW)
    quotas = store(cloud, jobs=1)
    assert register(cloud, quotas, NOW)
    register(cloud, quotas, NOW + 20 * SECOND)
    cloud.taken()
    assert not register(cloud, quotas, NOW + 21 * SECOND)
    assert cloud.taken() == Usage(writes=1, reads=1)


def test_a_table_that_does_not_answer_registers_nothing() -> None:
    cloud = Cloud(lambda: NOW)

    def fail(operation: str, request: dict[str, Any]) -> None:
        raise client_error("InternalServerError", operation, 500)

    cloud.before = fail
    with pytest.raises(Unavailable) as refused:
        store(cloud, 1, 1).take("t", NOW)
    assert refused.value.unknown is False


def test_ids_made_before_an_instant_sort_before_its_least_id() -> None:
    millisecond = timedelta(milliseconds=1)
    assert new_job_id(NOW - millisecond) < least_job_id(NOW) < new_job_id(NOW)
    assert len(least_job_id(NOW)) == len(new_job_id(NOW))
