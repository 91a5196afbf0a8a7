"""POST and DELETE /jobs/{id}/backfill: runs for past occurrences."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Api

DAILY = {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}
FIVE_DAYS = {"from": "2026-11-16T00:00:00Z", "to": "2026-11-20T23:59:59.5Z"}
DUE = [f"2026-11-{day}T08:00:00Z" for day in range(16, 21)]


def registered(api: Api, **changes: Any) -> str:
    """Register a job, a daily cron without changes; return its path."""
    return f"/jobs/{api.register(**{'trigger': DAILY, **changes})['id']}"


def due_times(api: Api) -> list[str]:
    """Return the scheduled times of the requests that were sent, in order."""
    return [sent.headers["Resona-Scheduled-Time"] for sent in api.env.sent]


def test_past_occurrences_are_sent_in_order_each_with_its_own_time(api: Api) -> None:
    path = registered(api)
    before = api.get(path).json
    answer = api.post(f"{path}/backfill", FIVE_DAYS)
    assert (answer.status, answer.json) == (202, {"runs": 5})
    shown = {"from": FIVE_DAYS["from"], "to": "2026-11-20T23:59:59Z", "runs": 5, "left": 5}
    assert api.get(path).json["backfill"] == shown
    api.env.advance(seconds=10)
    assert due_times(api) == DUE
    runs = api.get(f"{path}/runs").json
    assert [(run["scheduled_time"], run["cause"], run["status"]) for run in runs] == [
        (at, "backfill", "succeeded") for at in reversed(DUE)
    ]
    # Each is late from the end of the one before, not from its occurrence.
    assert all(run["lateness_ms"] < 1000 for run in runs)
    assert [sent.headers["Resona-Run-Id"] for sent in api.env.sent] == [
        run["id"] for run in reversed(runs)
    ]
    after = api.get(path).json
    assert after["result"]["run_id"] == runs[0]["id"]
    assert after == {**before, "result": after["result"]}
    assert after["backfill"] is None
