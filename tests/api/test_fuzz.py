"""Every generated trigger is registered or refused, and a refused one leaves no data behind."""

from __future__ import annotations

import json
import math
import random
import sys
from typing import Any

import pytest

from chalicelib.domain import time_zones
from infra.local.eventbridge import validate
from tests.api.conftest import Api, job
from tests.cloud import Cloud
from tests.domain.random_crons import IS_SOAK, random_cron
from tests.domain.real_crons import REAL_CRONS

CASES = 100_000 if IS_SOAK else 1_200
SHARES = 4
ZONE_NAMES = sorted(time_zones.names())
LETTERS = (
    "0123456789*/-,:.+TZz @?#LWHRabcjnmosuedywtfri_"
    "\t\n\x00\x7f\u00e9\u0665\u2007\u200b\uff10\U0001f552\ud800"
)
FRAGMENTS = (
    "*", "*/", "/", "-", ",", " ", "0", "00", "59", "60", "-1", "99999999999999999999", "1-", "5-1",
    "*/0", "*/61", "mon", "MON#2", "L", "15W", "?", "H", "@", "@daily", "@reboot", "@every 5m",
    "jan", "DEC-jan", "0 0 30 2 *", "2026-12-01", "T10:00:00", "Z", "+14:00", "+24:00", ".5",
    "2028-02-29", "2027-02-29", "T02:30:00", "W49", "null", "NaN", "1e3", "Europe/", "Berlin",
    "../", "UTC", "%00", "\u0000", "\u0660", "\ud83d",
)  # fmt: skip
NUMBERS = (
    0, 0.4, 899, 901, 31_536_000, 31_536_000.5, 31_536_001, -1, -0.0, -0.001, 1e-300, 5e-324, 1e300,
    -1e300, 2**53, 2**63, 10**400, -(10**400), math.nan, math.inf, -math.inf, True, False,
)  # fmt: skip
OTHERS: tuple[object, ...] = (
    None,
    [],
    {},
    [0],
    ["0 0 * * *"],
    {"cron": "0 0 * * *"},
    [[[]]],
    {"": None},
)


def mangled(dice: random.Random, text: str) -> str:
    """Return a text a few letters away, or the same."""
    for _ in range(dice.choice((0, 0, 0, 0, 1, 1, 2, 3))):
        at = dice.randrange(len(text) + 1)
        new = dice.choice((dice.choice(LETTERS), dice.choice(FRAGMENTS), ""))
        text = text[:at] + new + text[at + dice.randrange(3) :]
    return dice.choice(
        (text, text, text, text.upper(), text * 40 if dice.random() < 0.05 else text)
    )


def garbage(dice: random.Random) -> str:
    if dice.random() < 0.5:
        return "".join(dice.choice(FRAGMENTS) for _ in range(dice.randrange(9)))
    return "".join(
        chr(dice.randrange(sys.maxunicode if dice.random() < 0.2 else 0x500))
        for _ in range(dice.randrange(40))
    )


def some_cron(dice: random.Random) -> str:
    return mangled(dice, dice.choice((random_cron(dice), dice.choice(REAL_CRONS))))


def some_date(dice: random.Random) -> str:
    # Years from long past to far ahead, but most of them possible; days and minutes a little beyond
    # what there is.
    year = dice.randint(2026, 2037) if dice.random() < 0.8 else dice.randint(0, 9999)
    day = f"{year:04}-{dice.randint(1, 13):02}-{dice.choice((1, 15, 28, 28, 29, 29, 31, 32)):02}"
    hour = dice.choice((0, 1, 2, 3, 10, 23, 24))
    minute, second = dice.choice((0, 30, 59)), dice.choice((0, 0, 30, 59, 59, 60))
    time = f"{hour:02}:{minute:02}:{second:02}"
    tail = dice.choice(
        (
            "",
            "",
            "",
            ".5",
            ",999999999999",
            ".",
            "Z",
            "z",
            "+01:00",
            "-00:00",
            "+0530",
            "+14",
            "-99:99",
        )
    )
    return mangled(dice, day + dice.choice("TTTt ") + time + tail)


def some_delay(dice: random.Random) -> object:
    return dice.choice(
        (
            dice.choice(NUMBERS),
            dice.uniform(-1e3, 4e7),
            dice.randrange(40_000_000),
            str(dice.randrange(100)),
        )
    )


def some_zone(dice: random.Random) -> str:
    return (
        mangled(dice, dice.choice(ZONE_NAMES)) if dice.random() < 0.5 else dice.choice(ZONE_NAMES)
    )


def some_dst(dice: random.Random) -> dict[str, object]:
    words = ("skip", "next", "first", "both", None, garbage(dice))
    names = [name for name in ("gap", "fold", garbage(dice)) if dice.random() < 0.5]
    return {name: dice.choice(words) for name in names}


WRITERS = {
    "cron": some_cron,
    "date": some_date,
    "delay": some_delay,
    "timezone": some_zone,
    "dst": some_dst,
}


def some_value(dice: random.Random, name: str) -> object:
    luck = dice.random()
    if luck < 0.85:
        return WRITERS[name](dice)
    if luck < 0.92:
        return garbage(dice)
    return dice.choice(OTHERS) if luck < 0.96 else some_delay(dice)


def some_trigger(dice: random.Random) -> object:
    kind = dice.choice(("cron", "cron", "date", "date", "delay"))
    fields = {kind: some_value(dice, kind)}
    if dice.random() < (0.1 if kind == "delay" else 0.3):
        fields["timezone"] = some_value(dice, "timezone")
    if dice.random() < (0.2 if kind == "cron" else 0.02):
        fields["dst"] = some_value(dice, "dst")
    luck = dice.random()
    if luck < 0.03:
        other = dice.choice(tuple(WRITERS))
        fields[other] = some_value(dice, other)
    elif luck < 0.05:
        fields[garbage(dice)] = 1
    elif luck < 0.15:
        return {
            "type": dice.choice(
                ("cron", "one-time", "cron" if kind == "cron" else "one-time", garbage(dice), None)
            ),
            "fields": fields,
        }
    elif luck < 0.17:
        return some_value(dice, kind)
    return fields


def is_json(value: object) -> bool:
    """Say whether a value has a form in JSON, by what JSON is: text in Unicode's characters, and
    finite numbers.
    """
    if isinstance(value, dict):
        return all(is_json(name) and is_json(held) for name, held in value.items())
    if isinstance(value, list):
        return all(is_json(held) for held in value)
    if isinstance(value, str):
        return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in value)
    return not isinstance(value, float) or math.isfinite(value)


def is_empty(cloud: Cloud) -> bool:
    return not any(cloud.tables.values()) and not cloud.messages and not cloud.schedules


def check_registered(api: Api, made: dict[str, Any]) -> None:
    """Look whether a job is there whole: read back the same, due, and with something that will wake
    for it.
    """
    cloud = api.env.cloud
    assert made["status"] == "active"
    assert made["next_run_time"]
    jobs = cloud.tables["jobs"].values()
    (watch_at,) = [item["watch_at"]["S"] for item in jobs if "watch_at" in item]
    # The sweeper sends the message of a job that it looks at before it is due.
    assert cloud.messages or cloud.schedules or watch_at[:19] < made["next_run_time"][:19]
    for schedule in cloud.schedules.values():
        assert len(schedule["ScheduleExpression"]) <= 256
        validate(schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"])
    assert api.get(f"/jobs/{made['id']}").json == made


@pytest.mark.parametrize("share", range(SHARES))
def test_any_trigger_is_registered_or_refused_and_a_refusal_leaves_nothing(
    api: Api, share: int
) -> None:
    dice, cloud = random.Random(share), api.env.cloud
    counts = {201: 0, 400: 0, 422: 0}
    for number in range(CASES // SHARES):
        trigger = some_trigger(dice)
        answer = api.post("/jobs", raw=json.dumps({**job(), "trigger": trigger}).encode())
        assert answer.status in counts, (trigger, answer.text)
        assert (answer.status == 400) == (not is_json(trigger)), (trigger, answer.text)
        counts[answer.status] += 1
        if answer.status == 201:
            check_registered(api, answer.json)
            cloud.empty()
        else:
            assert is_empty(cloud), trigger
        if answer.status == 422:
            assert answer.fields
            assert all(field.split(".")[0] == "trigger" for field in answer.fields), (
                trigger,
                answer.text,
            )
        if number % 10 == 0:
            # The preview takes what the door takes.
            shown = api.post("/triggers/preview", raw=json.dumps({"trigger": trigger}).encode())
            assert shown.status == {201: 200}.get(answer.status, answer.status), (
                trigger,
                shown.text,
            )
    assert counts[201] > CASES // SHARES / 5
    assert counts[422] > CASES // SHARES / 4
    assert counts[400] > 0
