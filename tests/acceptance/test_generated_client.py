"""A client that openapi-python-client makes of `openapi.json` does all that a job needs, where keys
are asked for.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.acceptance.receivers import Receiving
from tests.acceptance.served import Served

pytestmark = pytest.mark.xdist_group("test_description")

OPERATIONS = {
    "bulk": ("create_jobs", "delete_jobs"),
    "jobs": (
        "create_job",
        "delete_job",
        "get_job",
        "list_jobs",
        "patch_job",
        "pause_job",
        "put_job",
        "resume_job",
        "run_job",
    ),
    "runs": ("get_run", "list_runs"),
    "triggers": ("preview_trigger",),
}


@pytest.fixture(scope="module")
def made(closed: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The client: its models, and its operations by name."""
    folder = tmp_path_factory.mktemp("client")
    description, config = folder / "openapi.json", folder / "config.yaml"
    answer = requests.get(f"{closed.url}/openapi.json", timeout=10)
    assert answer.status_code == 200
    description.write_bytes(answer.content)
    # Its code is not looked at, and so not formatted. It knows no holiday feeds.
    config.write_text(
        "post_hooks: []\ncontent_type_overrides: {text/calendar: application/octet-stream}\n"
    )
    tool = Path(sys.executable).parent / "openapi-python-client"
    command: list[str | Path] = [
        tool,
        "generate",
        "--path",
        description,
        "--config",
        config,
        "--meta",
        "none",
        "--output-path",
        folder / "resona_client",
    ]
    done = subprocess.run(
        [*command, "--fail-on-warning"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        operations = {
            name: importlib.import_module(f"resona_client.api.{tag}.{name}")
            for tag, names in OPERATIONS.items()
            for name in names
        }
        client = importlib.import_module("resona_client").AuthenticatedClient(
            base_url=closed.url, token=closed.key()
        )
        with client:
            yield SimpleNamespace(
                client=client, models=importlib.import_module("resona_client.models"), **operations
            )


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_job_is_registered_read_changed_paused_resumed_run_and_deleted(
    made: Any, closed: Served, receiver: Receiving
) -> None:
    client, models, once = made.client, made.models, uuid.uuid4().hex
    body = models.JobIn(
        name="Made",
        request=models.RequestIn(url=receiver.address("/made"), body={"key": "value"}),
        trigger=models.CronIn(cron="0 9 * * 1-5", timezone="Europe/Berlin"),
        labels=models.JobInLabels.from_dict({"team": "billing", **closed.labels}),
    )
    registered = made.create_job.sync_detailed(client=client, body=body, idempotency_key=once)
    assert registered.status_code == 201
    job = registered.parsed
    assert (job.name, job.status, job.request.body, job.labels.to_dict()) == (
        "Made",
        models.Status.ACTIVE,
        {"key": "value"},
        {"team": "billing", **closed.labels},
    )
    again = made.create_job.sync_detailed(client=client, body=body, idempotency_key=once)
    assert (again.parsed, again.headers["Idempotency-Replayed"]) == (job, "true")

    read = made.get_job.sync_detailed(job.id, client=client)
    assert read.parsed == job
    update = models.JobUpdateIn(name="Changed", trigger=models.DelayIn(delay=600))
    changed = made.patch_job.sync(job.id, client=client, body=update, if_match=read.headers["ETag"])
    # What was not given stays.
    assert (changed.name, changed.request, changed.labels, changed.trigger.type_) == (
        "Changed",
        job.request,
        job.labels,
        "one-time",
    )
    stale = made.patch_job.sync_detailed(
        job.id, client=client, body=update, if_match=read.headers["ETag"]
    )
    assert (stale.status_code, stale.parsed.title) == (412, "Precondition Failed")

    assert made.pause_job.sync(job.id, client=client).status is models.Status.PAUSED
    assert made.resume_job.sync(job.id, client=client).next_run_time == changed.next_run_time

    run = made.run_job.sync(job.id, client=client)
    assert (run.job_id, run.cause) == (job.id, "manual")
    wait_for(
        lambda: (
            made.get_run.sync(job.id, run.id, client=client).status is models.RunStatus.SUCCEEDED
        ),
        seconds=20,
    )
    (listed,) = made.list_runs.sync(job.id, client=client)
    assert (listed.id, listed.attempts[0].outcome) == (run.id, models.Outcome.SUCCESS)
    assert made.get_job.sync(job.id, client=client).result.status_code == 200

    assert made.delete_job.sync_detailed(job.id, client=client).status_code == 204
    assert made.get_job.sync(job.id, client=client).status == 404


def test_all_pages_are_read_by_following_the_cursor(made: Any, closed: Served) -> None:
    # Whose jobs they are may have others.
    client, models, pages = made.client, made.models, uuid.uuid4().hex
    jobs = [
        models.JobIn(
            name=f"Page {number}",
            request=models.RequestIn(url="http://example.com/"),
            trigger=models.DateIn(date="2027-01-31T09:00:00", timezone="Europe/Berlin"),
            labels=models.JobInLabels.from_dict({"of": pages, **closed.labels}),
        )
        for number in range(7)
    ]
    results = made.create_jobs.sync(client=client, body=models.BatchIn(jobs=jobs)).results
    assert [result.status for result in results] == [201] * 7
    # A list may lag by a second.
    wait_for(lambda: len(made.list_jobs.sync(client=client, label=f"of:{pages}")) == 7, seconds=5)
    found: list[str] = []
    options: dict[str, Any] = {"limit": 3, "label": f"of:{pages}"}
    while True:
        page = made.list_jobs.sync_detailed(client=client, **options)
        found += [job.id for job in page.parsed]
        if "Link" not in page.headers:
            break
        link = page.headers["Link"].partition(">")[0].removeprefix("<")
        options["cursor"] = parse_qs(urlsplit(link).query)["cursor"][0]
    # They were registered side by side, in whatever order.
    assert found == sorted((result.job.id for result in results), reverse=True)
    assert made.delete_jobs.sync(client=client, label=f"of:{pages}").changed == 7


def test_a_job_is_put_by_its_key_and_what_is_wrong_is_said(made: Any, closed: Served) -> None:
    client, models, key = made.client, made.models, f"report-{uuid.uuid4().hex}"
    body = models.JobReplacementIn(
        name="Report",
        request=models.RequestIn(url="http://example.com/"),
        trigger=models.CronIn(cron="@daily"),
    )
    body.labels = models.JobReplacementInLabels.from_dict(closed.labels)
    answers = [made.put_job.sync_detailed(f"key:{key}", client=client, body=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    wrong = made.preview_trigger.sync(
        client=client, body=models.PreviewIn(trigger=models.CronIn(cron="61 * * * *"))
    )
    assert (wrong.status, [error.field for error in wrong.errors]) == (422, ["trigger.cron"])
    times = made.preview_trigger.sync(
        client=client, body=models.PreviewIn(trigger=models.CronIn(cron="0 0 * * *"), count=2)
    ).next_run_times
    assert len(times) == 2
