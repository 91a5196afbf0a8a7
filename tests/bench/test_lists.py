"""A page of a list costs the same however long the list is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from chalicelib.aws.job_items import WATCH_SHARDS
from chalicelib.domain.ids import least_job_id
from tests.api.test_list_jobs import next_path
from tests.bench.meter import MeteredCloud, Usage
from tests.bench.operations import HOURLY, KB, Bench, bench
from tests.cloud import Answer
from tests.environment import START
from tests.soak import IS_SOAK


class CountingCloud(MeteredCloud):
    """Counts the items that are read, too: entries of indexes, and items of tables."""

    entries = 0
    read = 0

    def called(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        answer = super().called(operation, request, effect)
        if (
            operation == "Query"
            and request.get("IndexName") == "by_tenant"
            and "Select" not in request
        ):
            self.entries += len(answer["Items"])
        elif operation == "Query" and "IndexName" not in request:
            self.read += len(answer["Items"])
        elif operation == "BatchGetItem":
            self.read += sum(len(items) for items in answer["Responses"].values())
        return answer


@dataclass(frozen=True)
class Page:
    """What a page took: units, entries of the index, items of the table; how many jobs it shows,
    and where it leads.
    """

    used: Usage
    entries: int
    read: int
    shown: int
    following: str


def page(made: Bench, path: str) -> Page:
    cloud = made.env.cloud
    assert isinstance(cloud, CountingCloud)
    cloud.entries = cloud.read = 0
    cloud.taken()
    answer = made.call("GET", path)
    return Page(cloud.taken(), cloud.entries, cloud.read, len(answer.json), next_path(answer))


def fill(made: Bench, jobs: int, most: int = 2_500) -> None:
    """Register a job and copy it until there are so many.

    All but the newest are no more than entries of the index.
    """
    job_id = made.create(HOURLY).removeprefix("/jobs/")
    table = made.env.cloud.tables["jobs"]
    definition, state = (table.pop((job_id, part)) for part in ("definition", "state"))
    for number in range(jobs):
        name = f"{least_job_id(START)[:-6]}{number:06d}"
        table[name, "definition"] = {**definition, "id": {"S": name}}
        if number >= jobs - most:
            table[name, "definition"]["definition"] = {
                "S": definition["definition"]["S"].replace(job_id, name)
            }
            table[name, "state"] = {**state, "id": {"S": name}}


def test_a_page_reads_the_same_however_many_jobs_there_are() -> None:
    pages = []
    for jobs in (100, 10_000, 100_000)[: 3 if IS_SOAK else 2]:
        with bench(KB, CountingCloud) as made:
            fill(made, jobs)
            first = page(made, "/jobs?limit=40")
            pages.append((first, page(made, first.following)))
    for which in zip(*pages, strict=True):
        few, *others = which
        assert (few.shown, few.entries, few.read) == (40, 41, 82), (
            "one more than is shown, and two items a job"
        )
        for many in others:
            assert many.used.reads == pytest.approx(few.used.reads, rel=0.1)
            assert (many.entries, many.read, many.shown) == (few.entries, few.read, few.shown)
            assert many.following


def test_what_is_due_next_is_found_by_the_same_reads_however_many_jobs_there_are() -> None:
    reads = []
    for jobs in (1_000, 2_500):
        with bench(KB) as made:
            fill(made, jobs, most=jobs)
            table = made.env.cloud.tables["jobs"]
            for number, (key, item) in enumerate(table.items()):
                if key[1] == "state":
                    item["watch_shard"] = {"S": str(number // 2 % WATCH_SHARDS)}
            paths = ("/jobs?sort=next_run_time&limit=50", "/upcoming")
            reads.append([made.used(partial(made.call, "GET", path)).reads for path in paths])
    of_few, of_many = reads
    # All states of a tenant with up to 1,000 jobs, and the definitions of those that are shown.
    assert of_few == [532.5, 532.5]
    assert max(of_many) <= 100


def test_a_filtered_page_reads_a_thousand_jobs_at_most_and_leads_on() -> None:
    pages = []
    for jobs in (100, 10_000):
        with bench(KB, CountingCloud) as made:
            fill(made, jobs)
            pages.append(
                [
                    page(made, f"/jobs?{query}")
                    for query in ("label=team:none", "status=active&limit=40")
                ]
            )
    (none_of_few, some_of_few), (none_of_many, some_of_many) = pages
    assert (none_of_few.entries, none_of_few.shown, none_of_few.following) == (100, 0, "")
    assert (none_of_many.entries, none_of_many.read, none_of_many.shown) == (1000, 2000, 0)
    assert "label=team%3Anone" in none_of_many.following
    assert (some_of_many.entries, some_of_many.shown, some_of_many.used) == (
        some_of_few.entries,
        40,
        some_of_few.used,
    )


def test_a_list_that_ends_early_shows_everything_in_the_end() -> None:
    with bench(KB, CountingCloud) as made:
        fill(made, 2_500)
        table = made.env.cloud.tables["jobs"]
        oldest = min(key[0] for key in table if key[1] == "definition")
        table[oldest, "definition"]["definition"]["S"] = table[oldest, "definition"]["definition"][
            "S"
        ].replace('"nightly', '"weekly')
        path, shown = "/jobs?name=weekly", []
        while path:
            found = page(made, path)
            shown.append(found.shown)
            path = found.following
    assert shown == [0, 0, 1]
