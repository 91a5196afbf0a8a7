"""Read the five fields of a cron expression as Vixie cron does, or say what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from chalicelib.domain.errors import InvalidInput

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_WEEKDAYS = {
    name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])
}
LONGEST_MONTH = dict.fromkeys(range(1, 13), 31) | dict.fromkeys((4, 6, 9, 11), 30) | {2: 29}
_ITEM = re.compile(
    r"(?:(?P<star>\*)|(?P<first>[0-9]+|[a-z]+)(?:-(?P<last>[0-9]+|[a-z]+))?)(?:/(?P<step>[0-9]+))?",
    re.ASCII,
)

# Syntax of other cron dialects: the field it stands in ("" is any), and the refusal, which says
# what to write instead. Do not propose a day of the month together with a day of the week: the
# cron would run on days that match only one of them.
_FOREIGN = (
    ("", re.compile(r".*\?.*"), "'?' is of other dialects; write *"),
    ("", re.compile(r".*#.*"), "'#' (the n-th weekday of a month) is not possible"),
    (
        "day of month",
        re.compile(r"l"),
        "'L' (the last day) is not possible in one cron; register three jobs, with "
        "31 1,3,5,7,8,10,12 and 30 4,6,9,11 and 28 2 as day of month and month "
        "(29 February is left out)",
    ),
    (
        "day of month",
        re.compile(r"l[-+].*"),
        "'L' (days before the last) is not possible; the days 1 to 28 are in every month",
    ),
    (
        "day of week",
        re.compile(r"[0-7]l|(?:sun|mon|tue|wed|thu|fri|sat)l"),
        "'L' (the last such weekday of a month) is not possible in one cron; it is one of the days "
        "22-31: write these as day of month, * as day of week, and let the target skip the others",
    ),
    (
        "day of week",
        re.compile(r"l"),
        "'L' is not possible; write the day of the week by itself, such as 6 for Saturday",
    ),
    (
        "day of month",
        re.compile(r"([0-9]{1,2})w"),
        "'W' (the nearest weekday) is not possible in one cron; {} is that day, "
        "whatever its day of the week",
    ),
    ("day of month", re.compile(r"l?w"), "'W' (the nearest weekday) is not possible in one cron"),
    (
        "",
        re.compile(r"h(?:[(/].*)?"),
        "'H' (a hashed time) is not possible; write the time you want",
    ),
    (
        "",
        re.compile(r"r(?:[(/].*)?"),
        "'R' (a random time) is not possible; write the time you want",
    ),
)
_NTH = re.compile(r"(?P<weekday>[0-7]|sun|mon|tue|wed|thu|fri|sat)#(?P<nth>[1-5])")


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    least: int
    most: int
    names: dict[str, int]

    @property
    def count(self) -> int:
        """The number of different values: as days of the week, 0 and 7 are both Sunday."""
        return 7 if self.name == "day of week" else self.most - self.least + 1


_KINDS = (
    _Kind("minute", 0, 59, {}),
    _Kind("hour", 0, 23, {}),
    _Kind("day of month", 1, 31, {}),
    _Kind("month", 1, 12, _MONTHS),
    _Kind("day of week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Fields:
    """The numbers that each field of an expression matches; days of the week from 0, Sunday.

    `both_days` says whether day of month and day of week must both match; otherwise one of them is
    enough. As in Vixie cron, both must match if one of the two begins with a star, also `*/2`.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool

    @property
    def every_hour(self) -> bool:
        """Whether the cron runs in every hour of the day."""
        return len(self.hours) == 24


@lru_cache(maxsize=4096)
def read(expression: str) -> Fields:
    """Read an expression. Raises InvalidInput, naming trigger.cron."""
    text = expression.lower()
    if text.startswith("@"):
        if text not in _NICKNAMES:
            raise refused(
                f"is not a known nickname; write one of {', '.join(_NICKNAMES)}, or five fields"
            )
        text = _NICKNAMES[text]
    parts = re.split(r"[ \t]+", text) if text else []
    if len(parts) != 5:
        hint = "; seconds and years are not possible" if len(parts) in (6, 7) else ""
        if text.startswith(("tz=", "cron_tz=")):
            hint = "; give a time zone as trigger.timezone"
        raise refused(
            "must have five fields (minute, hour, day of month, month, day of week), "
            f"not {len(parts)}{hint}"
        )
    minutes, hours, days, months, weekdays = (
        _values(part, kind) for part, kind in zip(parts, _KINDS, strict=True)
    )
    both_days = parts[2].startswith("*") or parts[4].startswith("*")
    sundays = frozenset(day % 7 for day in weekdays)
    return Fields(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        sundays,
        both_days,
    )


def _values(text: str, kind: _Kind) -> set[int]:
    return {value for item in text.split(",") for value in _item_values(item, kind)}


def _item_values(item: str, kind: _Kind) -> set[int]:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise refused(f"{kind.name}: {_foreign(item, kind) or _why_not(item, kind)}")
    low, high = _range(match, kind, item)
    width = int(match["step"]) if match["step"] else 1
    if width == 0:
        raise refused(f"{kind.name}: a step must be at least 1")
    if width > kind.count:
        raise refused(
            f"{kind.name}: a step of {_shown(match['step'])} is more than the {kind.count} there "
            f"are; {_step_hint(kind, width)}"
        )
    if high < low:
        raise refused(
            f"{kind.name}: the range {match['first']}-{match['last']} runs backward; write "
            f"{_in_two(match, low, high, kind)}"
        )
    return set(range(low, high + 1, width))


def _range(match: re.Match[str], kind: _Kind, item: str) -> tuple[int, int]:
    """Return the first and the last number of an item, before its step."""
    if match["star"]:
        # `*` ends with 6, Saturday: 7 would be Sunday again.
        return kind.least, 6 if kind.name == "day of week" else kind.most
    low, last = _number(match["first"], kind, item), match["last"]
    if last is None:
        return low, kind.most if match["step"] else low
    if last == "sun" and low > 0:
        return low, 7
    return low, _number(last, kind, item)


def _step_hint(kind: _Kind, width: int) -> str:
    if kind.name != "minute":
        return f"write the {kind.name} by itself"
    if width == 90:
        return (
            "for every hour and a half register two jobs, such as 0 */3 * * * and 30 1-23/3 * * *"
        )
    hours = width // 60
    if width % 60 == 0 and hours < 24 and 24 % hours == 0:
        return f"for every {hours} hours write 0 */{hours} * * *"
    return "write the minute by itself, and a step in the hours"


def _in_two(match: re.Match[str], low: int, high: int, kind: _Kind) -> str:
    """Return a backward range as two ranges: up to the last value, and on from the first value.

    For `fri-mon` they are 5-6 and 0-1.
    """
    first, last, step = match["first"], match["last"], match["step"]
    if not step:
        return f"{first}-{kind.most},{kind.least}-{last}"
    top = kind.least + kind.count - 1
    # `top` is 6 for days of the week, because Sunday is 0. A range that starts with Sunday as 7 is
    # past it: its first part is empty.
    on_from = low + max(0, -((low - top - 1) // int(step))) * int(step) - kind.count
    parts = [f"{first}-{top}/{step}"] * (low <= top) + [f"{on_from}-{last}/{step}"] * (
        on_from <= high
    )
    return ",".join(parts)


def _number(text: str, kind: _Kind, item: str) -> int:
    if not text.isdigit():
        if text not in kind.names:
            raise refused(f"{kind.name}: {_foreign(item, kind) or _why_not(text, kind)}")
        return kind.names[text]
    number = int(text)
    if not kind.least <= number <= kind.most:
        raise refused(f"{kind.name}: {_shown(text)} is not from {kind.least} to {kind.most}")
    return number


def _foreign(item: str, kind: _Kind) -> str | None:
    """Return what to write instead of another dialect's syntax; None for unknown syntax."""
    match = _NTH.fullmatch(item)
    if match and kind.name == "day of week":
        return _nth(match["weekday"], int(match["nth"]))
    for name, form, sentence in _FOREIGN:
        match = form.fullmatch(item)
        if match and name in ("", kind.name):
            return sentence.format(*match.groups())
    return None


def _nth(weekday: str, nth: int) -> str:
    """Return how to write the n-th weekday of a month, which is not always possible in one cron.

    Both days must match only if one of the two fields begins with a star. The hints therefore write
    one of the days with a star that has the same meaning: `*/31` is the 1st, and `*/7` is Sunday.
    """
    days = ("1-7", "8-14", "15-21", "22-28", "29-31")[nth - 1]
    if nth == 1:
        return (
            f"'#' is not possible; for the first write */31,{days} as day of month "
            f"and {weekday.upper()} as day of week"
        )
    if weekday in ("0", "7", "sun"):
        return (
            f"'#' is not possible; for this Sunday write {days} as day of month "
            "and */7 as day of week"
        )
    return (
        "'#' (the n-th weekday of a month) is not possible in one cron; "
        f"it is one of the days {days}: write these as day of month, * as day of week, "
        "and let the target skip the others"
    )


def _shown(digits: str) -> str:
    return digits if len(digits) <= 6 else f"{digits[:6]}…"


def _why_not(item: str, kind: _Kind) -> str:
    if item[:3] in kind.names and item.isalpha():
        return f"names have three letters; write {item[:3].upper()}"
    if not item:
        return "a value is missing beside a comma"
    shown = f"'{item}'" if item.isascii() and item.isprintable() and len(item) <= 20 else "this"
    names = f", or names such as {next(iter(kind.names)).upper()}" if kind.names else ""
    return (
        f"{shown} is not possible; write numbers from {kind.least} to {kind.most}{names}, "
        "as 1,2 or 1-5 or */2"
    )


def can_fire(fields: Fields) -> bool:
    """Return whether the fields match any day of any year."""
    if not fields.both_days and fields.weekdays:
        return True
    return any(day <= LONGEST_MONTH[month] for month in fields.months for day in fields.days)


def refused(sentence: str) -> InvalidInput:
    """Return an InvalidInput that names trigger.cron, with this sentence."""
    return InvalidInput.of("trigger.cron", sentence)
