"""Questions to the AWS account: EventBridge Scheduler, and how long API Gateway caches a key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import requests

from chalicelib.aws.schedule_expression import to_eventbridge
from chalicelib.domain import time_zones
from chalicelib.domain.api_keys import new_key, read_key
from chalicelib.domain.cron import Cron
from chalicelib.domain.ids import new_job_id, new_token, schedule_name
from chalicelib.handlers.authorizer import REMEMBERED_SECONDS
from tests.acceptance.questions.account import Account
from tests.acceptance.questions.asking import Answer, AnswerStatus, Asking, Question, Sizes, judged
from tests.domain.real_crons import REAL_CRONS

# Four at once, each with a pause: some 20 schedules a second, where a small region allows 250.
_THREADS, _PAUSE_SECONDS = 4, 0.1
_ACCEPTED = "cron(0 12 * * ? *)"
# A zone whose clocks change, so that crons are not translated to UTC where it could be avoided.
_ZONE = "Europe/Berlin"
# Those that are translated with words of EventBridge, which the real crons do not have.
_WORDS = ("0 9 L * *", "0 9 15W * *", "0 9 * * 5L", "0 9 * * 1#2")
_KEY_SECONDS = 2.5 * REMEMBERED_SECONDS


def past_at(asking: Asking) -> Answer:
    """Make a schedule for five minutes ago, which wakes a function that finds no such job; see
    whether it is taken, and goes.
    """
    account, name = _account(asking), _name()
    at = (datetime.now(UTC) - timedelta(minutes=5)).replace(tzinfo=None, microsecond=0)
    refusal = account.create(name, f"at({at.isoformat()})", "UTC", enabled=True)
    if refusal:
        return Answer(AnswerStatus.AS_ASSUMED, f"it is refused: {refusal}", {"refusal": refusal})
    began = time.monotonic()
    try:
        while account.exists(name):
            if time.monotonic() - began > asking.sizes.watched_seconds:
                gone_after = None
                break
            time.sleep(2)
        else:
            gone_after = round(time.monotonic() - began)
    finally:
        account.delete(name)
    still = f"it was still there after {asking.sizes.watched_seconds} s, and was deleted"
    became = (
        f"it was gone after {gone_after} s, so it has fired" if gone_after is not None else still
    )
    return judged(
        False,
        f"it is accepted; {became}",
        {
            "refusal": None,
            "gone_after_seconds": gone_after,
            "watched_seconds": asking.sizes.watched_seconds,
        },
        (
            "Nothing builds on it. Let the laptop's Scheduler (infra/local/eventbridge.py), which "
            "refuses it, do the same, and write it down."
        ),
    )


def zone_names(asking: Asking) -> Answer:
    """Make a schedule in every zone by its canonical name, as the stage does, and by every alias,
    and delete it.
    """
    account, names = _account(asking), sorted(time_zones.names())
    taken = names[: asking.sizes.schedules]
    refused = _refused(account, [(name, _ACCEPTED, name) for name in taken])
    used = {time_zones.canonical(name) for name in taken}
    wrong = sorted(used & refused.keys())
    aliases = sorted(refused.keys() - used)
    return judged(
        not wrong,
        f"of {len(taken)} names {len(refused)} are refused: {len(wrong)} of those that schedules "
        f"are made with, {len(aliases)} aliases that are translated before",
        {
            "asked": len(taken),
            "refused": wrong,
            "refused_aliases": aliases,
            "first_refusal": next(iter(refused.values()), None),
        },
        (
            "Jobs in these zones have no schedule, and are armed by the sweeper: in time, at more "
            "cost. Translate them in time_zones.canonical."
        ),
    )


def expressions(asking: Asking) -> Answer:
    """Make a schedule of every real cron as it is translated, and delete it."""
    account, crons = _account(asking), (*_WORDS, *REAL_CRONS)[: asking.sizes.schedules]
    refused = _refused(account, [(cron, *to_eventbridge(Cron(cron, _ZONE))) for cron in crons])
    return judged(
        not refused,
        (
            f"of {len(crons)} crons {len(refused)} are "
            f"refused{': ' if refused else ''}{'; '.join(refused)}"
        ),
        {"asked": len(crons), "refused": refused},
        (
            "These jobs have no schedule, and are armed by the sweeper: in time, at more cost. "
            "Mend chalicelib/aws/schedule_expression.py."
        ),
    )


def odd_expressions(asking: Asking) -> Answer:
    """Ask what AWS's documentation leaves open, so that a laptop can do the same."""
    account = _account(asking)
    odd = {
        "a backward range of hours": "cron(5 22-2 * * ? *)",
        "a backward range of weekdays": "cron(5 12 ? * 6-2 *)",
        "a step over a range": "cron(0-58/2 0-23/5 * * ? *)",
    }
    refused = _refused(account, [(what, expression, "UTC") for what, expression in odd.items()])
    found = {what: refused.get(what, "accepted") for what in odd}
    return judged(
        "a step over a range" not in refused,
        "; ".join(f"{what}: {came}" for what, came in found.items()),
        found,
        "Resona writes steps over ranges: mend _list in chalicelib/aws/schedule_expression.py.",
    )


def revoked_key(asking: Asking) -> Answer:
    """Make a key, see when it opens, revoke it, see when it is dead.

    It has the tenant of the stage's key, and reads alone.
    """
    account, stage = _account(asking), asking.stage
    known = read_key(stage.key(), stage.stage)
    owner = account.keys.get(known.id) if known else None
    assert owner is not None
    key, now = new_key(stage.stage), datetime.now(UTC)
    account.keys.add(
        replace(
            owner, id=key.id, digest=key.digest, created_at=now, expires_at=now + timedelta(hours=1)
        )
    )
    try:
        opens_after = _seconds_until(lambda: _status(stage.url, key.text) == 200)
    finally:
        account.keys.revoke(key.id, datetime.now(UTC))
    dead_after = _seconds_until(lambda: _status(stage.url, key.text) == 401)
    return judged(
        opens_after < 2 and dead_after <= REMEMBERED_SECONDS + 1,
        (
            f"a new key opened after {opens_after:.1f} s; a revoked one was dead after "
            f"{dead_after:.1f} s"
        ),
        {"opens_after_seconds": round(opens_after, 1), "dead_after_seconds": round(dead_after, 1)},
        f"The documentation says {REMEMBERED_SECONDS} s: see the authorizer's TTL at the gateway.",
    )


def repeated_hour(asking: Asking) -> Answer:
    """Say on which day this can be asked."""
    del asking
    days = {
        name: _next_repeated(name, datetime.now(UTC))
        for name in ("Europe/Berlin", "America/New_York")
    }
    told = ", ".join(f"{day:%Y-%m-%d} in {name}" for name, day in days.items())
    return Answer(
        AnswerStatus.OPEN,
        f"it can be asked only on a day on which an hour comes twice: {told}. On the day before, "
        "register `30 * * * *` and `30 0,1,2,3 * * *` in that zone, and compare their runs with "
        "POST /triggers/preview. Nothing depends on the answer: crons of every hour are scheduled "
        "in UTC, and the sweeper arms what a schedule does not wake",
        {name: day.date().isoformat() for name, day in days.items()},
    )


def _account(asking: Asking) -> Account:
    assert asking.account is not None
    return asking.account


def _name() -> str:
    """Return the name of a schedule that the wake function takes for another's commit under way: it
    does nothing then.
    """
    now = datetime.now(UTC)
    return schedule_name(new_job_id(now), new_token(now))


def _refused(account: Account, wanted: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Make each (what, expression, zone), and delete it; return why by what was refused."""

    def ask(one: tuple[str, str, str]) -> tuple[str, str]:
        what, expression, timezone = one
        name = _name()
        try:
            return what, account.create(name, expression, timezone)
        finally:
            account.delete(name)
            time.sleep(_PAUSE_SECONDS)

    with ThreadPoolExecutor(_THREADS) as threads:
        return {what: refusal for what, refusal in threads.map(ask, wanted) if refusal}


def _status(url: str, key: str) -> int:
    return requests.get(
        f"{url}/jobs?limit=1", headers={"Authorization": f"Bearer {key}"}, timeout=30
    ).status_code


def _seconds_until(holds: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < _KEY_SECONDS, f"not so after {_KEY_SECONDS} s"
        time.sleep(0.5)
    return time.monotonic() - began


def _next_repeated(name: str, now: datetime) -> datetime:
    """Return the next day on which a zone's clocks are set back."""
    place, day = time_zones.zone(name), now.replace(hour=0, minute=0, second=0, microsecond=0)
    while not (day.astimezone(place).utcoffset() or timedelta()) > (
        (day + timedelta(days=1)).astimezone(place).utcoffset() or timedelta()
    ):
        day += timedelta(days=1)
    return (day + timedelta(hours=12)).astimezone(place)


def _paced(count: int) -> Callable[[Sizes], float]:
    return lambda sizes: 2 + min(count, sizes.schedules or count) * 0.4 / _THREADS


QUESTIONS = [
    Question(
        "a schedule in the past",
        "Does EventBridge Scheduler accept at() in the past, and does it fire?",
        (
            "No schedule is made for what is due within 15 minutes, so none is in the past. Both "
            "have been recorded; the laptop refuses it."
        ),
        past_at,
        seconds=lambda sizes: sizes.watched_seconds,
        needs_account=True,
    ),
    Question(
        "names of zones",
        "Which names of time zones does EventBridge Scheduler refuse?",
        "One job has one schedule, in the zone's canonical name.",
        zone_names,
        seconds=_paced(len(time_zones.names())),
        needs_account=True,
    ),
    Question(
        "real crons",
        (
            f"Does EventBridge Scheduler accept the translation of each of {len(REAL_CRONS)} crons "
            "that people have written?"
        ),
        "The translation is always possible, and at most 256 characters.",
        expressions,
        seconds=_paced(len(REAL_CRONS)),
        needs_account=True,
    ),
    Question(
        "odd expressions",
        "What does EventBridge Scheduler say to backward ranges, and to steps over ranges?",
        (
            "Backward ranges are written as lists, because nobody has said; steps over ranges are "
            "used."
        ),
        odd_expressions,
        needs_account=True,
    ),
    Question(
        "a revoked key",
        "After how many seconds does a new key open the stage, and is a revoked one dead?",
        (
            f"API Gateway remembers a key for {REMEMBERED_SECONDS} s: a revoked one is dead within "
            "them."
        ),
        revoked_key,
        seconds=lambda sizes: 70,
        needs_account=True,
    ),
]
OPEN = [
    Question(
        "a repeated hour",
        (
            "Does a schedule whose hour is * wake in both passings of an hour that an autumn "
            "change repeats?"
        ),
        "A cron that runs in every hour goes on through the repeated hour.",
        repeated_hour,
        seconds=lambda sizes: 0,
    ),
]
