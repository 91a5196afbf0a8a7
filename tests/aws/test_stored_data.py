"""Today's code reads the data that earlier releases stored, and continues with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import ApiKeyStatus, Scope
from chalicelib.handlers.executor import on_wake
from chalicelib.version import VERSION
from tests.aws.stored_data import (
    FULL,
    KEPT,
    KEY_ID,
    REPEATED,
    document,
    done,
    fired,
    restored,
    serving,
    told,
)
from tests.cloud import DynamoDB

Document = dict[str, Any]


@pytest.fixture(params=sorted(KEPT.glob("*.json")), ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest) -> Document:
    """Return what a release has left."""
    document: Document = json.loads(request.param.read_text(encoding="utf-8"))
    return document


def holds(known: Any, now: Any) -> bool:
    """Say whether all that was known is still so; more may be told by a later release."""
    if isinstance(known, dict):
        if known.get("status") == "missed" and "reason" in known:
            # Until it was given one, a missed run had none.
            known = {**known, "reason": "misfire"}
        return isinstance(now, dict) and all(
            name in now and holds(value, now[name]) for name, value in known.items()
        )
    if isinstance(known, list):
        return isinstance(now, list) and len(known) == len(now) and all(map(holds, known, now))
    return bool(known == now)


def test_what_a_release_has_left_is_told_as_it_told_it(kept: Document) -> None:
    with serving(restored(kept["left"])) as api:
        now = told(api)
    assert [path for path, known in kept["told"].items() if not holds(known, now.get(path))] == []


def test_what_a_release_has_left_under_way_fires_once(kept: Document) -> None:
    """Messages, schedules, retries, a run that somebody asked for, and one whose executor died."""
    assert fired(restored(kept["left"])) == kept["fired"]


def test_without_its_messages_and_schedules_what_a_release_has_left_fires_all_the_same(
    kept: Document,
) -> None:
    assert fired(restored({**kept["left"], "messages": [], "schedules": []})) == kept["fired"]


def test_a_wake_of_a_schedule_that_a_release_has_made_is_understood(kept: Document) -> None:
    env = restored(kept["left"])
    (schedule,) = [
        each for each in kept["left"]["schedules"] if each["ScheduleExpression"].startswith("at(")
    ]
    due = kept["told"]["/jobs/key:invoice"]["next_run_time"]
    env.cloud.messages.clear()
    env.now = env.now.fromisoformat(due).replace(hour=13, minute=58, second=20)
    on_wake(
        json.loads(
            schedule["Target"]["Input"].replace(
                "<aws.scheduler.scheduled-time>", "2026-11-23T13:58:00Z"
            )
        ),
        env.firing,
    )
    (message,) = env.cloud.messages.values()
    assert json.loads(message.body)["at"].startswith("2026-11-23T14:00:00")


def test_a_repeat_of_what_a_release_has_answered_gets_its_answer(kept: Document) -> None:
    with serving(restored(kept["left"])) as api:
        answer = api.post("/jobs", FULL, headers=REPEATED)
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert done(answer)["id"] == kept["told"]["/jobs/key:invoice"]["id"]


def test_a_key_that_a_release_has_made_opens(kept: Document) -> None:
    env = restored(kept["left"])
    client: Any = DynamoDB(env.cloud)
    record = ApiKeyStore(client, "keys").get(KEY_ID)
    assert record is not None
    assert (record.tenant, record.scopes, record.status(env.now)) == (
        "acme",
        frozenset(Scope),
        ApiKeyStatus.ACTIVE,
    )


def test_what_today_s_code_leaves_has_the_form_of_what_is_kept() -> None:
    """If not, keep what it leaves: `python -m tests.aws.stored_data`, under a new version if the
    last one has been released.
    """
    last = json.loads((KEPT / f"{VERSION}.json").read_text(encoding="utf-8"))
    assert set(forms(document()["left"])) == set(forms(last["left"]))


def forms(value: Any, path: str = "") -> Iterator[str]:
    """Yield where there are values in a document, the texts that are JSON themselves included."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        value = json.loads(value)
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from forms(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from forms(inner, f"{path}[]")
    else:
        yield path
