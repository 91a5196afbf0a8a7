"""Random crons of every allowed form, dense enough to occur within a few days."""

from __future__ import annotations

import os
import random

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_WEEKDAYS = "sun mon tue wed thu fri sat".split()
IS_SOAK = bool(os.environ.get("RESONA_SOAK"))


def _item(dice: random.Random, least: int, most: int, names: list[str]) -> str:
    def shown(number: int) -> str:
        if names and number - least < len(names) and dice.random() < 0.3:
            return dice.choice([str.upper, str.lower, str.title])(names[number - least])
        return str(number)

    first = dice.randint(least, most)
    kind = dice.randrange(6)
    width = most - least + 1 - (most == 7)
    if kind <= 1:
        return shown(first)
    if kind == 2:
        return f"*/{dice.randint(1, width)}"
    if kind == 3:
        return f"{shown(first)}/{dice.randint(1, width)}"
    last = dice.randint(first, most)
    return f"{shown(first)}-{shown(last)}" + (f"/{dice.randint(1, width)}" if kind == 5 else "")


def _field(dice: random.Random, least: int, most: int, names: list[str], star: float) -> str:
    if dice.random() < star:
        return "*"
    return ",".join(_item(dice, least, most, names) for _ in range(dice.choice((1, 1, 1, 2, 3))))


def _days(dice: random.Random) -> str:
    return dice.choice(
        (
            "L",
            f"L-{dice.randint(1, 30)}",
            f"{dice.randint(1, 31)}W",
            "LW",
            f"{dice.randint(1, 31)},{dice.randint(1, 31)}w,l",
            f"*/{dice.randint(2, 9)},{dice.randint(1, 31)}W",
            f"L-{dice.randint(1, 30)},{dice.randint(1, 31)}-31",
        )
    )


def _weekdays(dice: random.Random) -> str:
    day = dice.choice((str(dice.randint(0, 7)), dice.choice(_WEEKDAYS)))
    nth = f"{day}#{dice.randint(1, 5)}"
    return dice.choice(
        (
            f"{day}L",
            nth,
            f"{nth},{dice.randint(0, 7)}L",
            f"{dice.randint(0, 7)},{nth}",
            f"*/4,{nth}",
        )
    )


def random_cron(dice: random.Random) -> str:
    """Return an expression; one in five runs in every hour."""
    hour = (
        dice.choice(("*", "0-23", "*/1", "0-11,12-23"))
        if dice.random() < 0.2
        else _field(dice, 0, 23, [], 0.1)
    )
    if dice.random() < 0.3:
        # The hours in which clocks change.
        hour = dice.choice(("0-3", "1,2,3", "23,0,1", "2", "*/2", "1-2"))
    days = _field(dice, 1, 31, [], 0.6) if dice.random() < 0.8 else _days(dice)
    weekdays = _field(dice, 0, 7, _WEEKDAYS, 0.6) if dice.random() < 0.8 else _weekdays(dice)
    return " ".join(
        (
            _field(dice, 0, 59, [], 0.1),
            hour,
            days,
            _field(dice, 1, 12, _MONTHS, 0.8),
            weekdays,
        )
    )
