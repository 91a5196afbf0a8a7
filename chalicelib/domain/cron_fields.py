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
_ITEM = re.compile(
    r"(?:(?P<star>\*)|(?P<first>[0-9]+|[a-z]+)(?:-(?P<last>[0-9]+|[a-z]+))?)(?:/(?P<step>[0-9]+))?",
    re.ASCII,
)

# The last day of a month; its last weekday; its last Friday. Others are counted from the first, 1.
LAST = -1
_NAME = "|".join(_WEEKDAYS)
_FROM_LAST = re.compile(r"l(?:-(?P<before>[0-9]+))?", re.ASCII)
_NEAREST = re.compile(r"(?P<day>[0-9]+|l)w", re.ASCII)
_NTH = re.compile(rf"(?P<weekday>[0-9]+|{_NAME})(?:l|#(?P<nth>[0-9]+))", re.ASCII)

# Near misses and the syntax of other dialects: the field that an item stands in ("" is any), and
# the refusal, which says what to write instead.
_MISSES = (
    ("", r".*\?.*", "'?' is of other dialects; write *"),
    ("day of month", r"w([0-9]+)", "write {}W"),
    ("day of month", r"wl", "write LW"),
    (
        "day of month",
        r"w",
        "'W' follows a day; write 15W for the weekday nearest to the 15th, or LW for the last one",
    ),
    ("day of month", r"[0-9]+-[0-9]+w", "'W' follows a single day; write such as 1W,2W"),
    (
        "day of month",
        r"lw[-+].*|l-[0-9]+w",
        "'W' does not go with days before the last; write LW for the last weekday of the month, or "
        "L-3 for the third day before the last",
    ),
    (
        "day of month",
        r"(?:lw?|[0-9]+w)/.*",
        "'L' and 'W' have no step; list the days, such as 1W,15W,L",
    ),
    ("day of month", r"l\+?([0-9]+)", "write L-{} for so many days before the last"),
    ("day of month", r"([0-9]+)-l", "write {}-31, which ends with the month"),
    (
        "day of month",
        rf"(?:[0-9]+|{_NAME})l",
        "write L for the last day of the month; the last such weekday of a month, as 5L, stands in "
        "day of week",
    ),
    ("day of month", r".*#.*", "'#' (the n-th weekday of a month) stands in day of week"),
    ("day of week", rf"l([0-7]|{_NAME})", "write {}L"),
    ("day of week", rf"([0-7]|{_NAME})#(?:l|-1)", "write {}L"),
    ("day of week", rf"({_NAME})[a-z]+l", "names have three letters; write {}L"),
    (
        "day of week",
        r"l",
        "'L' follows a day; write 5L for the last Friday of the month, or 6 for every Saturday",
    ),
    ("day of week", r".*-.*l", "'L' follows a single day; write such as 1L,2L"),
    ("day of week", r"#([1-5])", "'#' follows a day; write 1#{0} or MON#{0} for a Monday"),
    ("day of week", rf"([0-7]|{_NAME})#", "write {0}#1 to {0}#5, or {0}L for the last"),
    (
        "day of week",
        r".*#.*",
        "'#' stands between a single day and its number; write 1#2 or MON#2 for the second Monday",
    ),
    (
        "day of week",
        r".*w",
        "'W' (the nearest weekday) stands in day of month; write 1-5 for every weekday",
    ),
    ("time", r"l(?:[-w].*)?|.*#.*", "'L', 'W' and '#' stand only in day of month and day of week"),
    (
        "day of month",
        r"[^a-z]*(?:l|w(?!ed)).*",
        "write L for the last day of the month, L-3 for the third day before it, or 15W for the "
        "weekday nearest to the 15th",
    ),
    ("day of week", r"[^a-z]*l.*", "write such as 5L for the last Friday of the month"),
    ("", r"h(?:[(/].*)?", "'H' (a hashed time) is not possible; write the time you want"),
    ("", r"r(?:[(/].*)?", "'R' (a random time) is not possible; write the time you want"),
)


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

    Day of month also matches the days so far from the last (`from_last`: 0 for `L`, 3 for `L-3`),
    and the weekdays nearest to others (`nearest`: 15 for `15W`, LAST for `LW`). Day of week also
    matches the n-th of a day in a month (`nth`: (1, 2) for `1#2`, (5, LAST) for `5L`).
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool
    from_last: frozenset[int] = frozenset()
    nearest: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()

    @property
    def every_hour(self) -> bool:
        """Whether the cron runs in every hour of the day."""
        return len(self.hours) == 24

    @property
    def every_day(self) -> bool:
        """Whether the cron runs on every day of the year."""
        by_month, by_week = len(self.days) == 31, len(self.weekdays) == 7
        by_day = by_month and by_week if self.both_days else by_month or by_week
        return by_day and len(self.months) == 12


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
        hint = ""
        if len(parts) in (6, 7):
            hint = (
                "; seconds and years are not possible: leave out the first field of Quartz, the "
                "last of EventBridge"
            )
        if text.startswith(("tz=", "cron_tz=")):
            hint = "; give a time zone as trigger.timezone"
        raise refused(
            "must have five fields (minute, hour, day of month, month, day of week), "
            f"not {len(parts)}{hint}"
        )
    minutes, hours, days, months, weekdays = (part.split(",") for part in parts)
    from_last, nearest, days = _days_apart(days)
    nth, weekdays = _weekdays_apart(weekdays)
    minute, hour, day, month, weekday = _KINDS
    return Fields(
        tuple(sorted(_values(minutes, minute))),
        tuple(sorted(_values(hours, hour))),
        frozenset(_values(days, day)),
        frozenset(_values(months, month)),
        frozenset(number % 7 for number in _values(weekdays, weekday)),
        parts[2].startswith("*") or parts[4].startswith("*"),
        from_last,
        nearest,
        nth,
    )


def _days_apart(items: list[str]) -> tuple[frozenset[int], frozenset[int], list[str]]:
    """Return `from_last` and `nearest` of the items of day of month, and the other items."""
    from_last, nearest, others = set(), set(), []
    for item in items:
        if match := _FROM_LAST.fullmatch(item):
            from_last.add(_before_last(match["before"]))
        elif match := _NEAREST.fullmatch(item):
            nearest.add(LAST if match["day"] == "l" else _number(match["day"], _KINDS[2], item))
        else:
            others.append(item)
    return frozenset(from_last), frozenset(nearest), others


def _before_last(before: str | None) -> int:
    if before is None:
        return 0
    if not 1 <= int(before) <= 30:
        raise refused(
            f"day of month: L-{_shown(before)} is in no month; write L for the last day, "
            "L-1 for the day before, and so on to L-30"
        )
    return int(before)


def _weekdays_apart(items: list[str]) -> tuple[frozenset[tuple[int, int]], list[str]]:
    """Return `nth` of the items of day of week, and the other items."""
    nth, others = set(), []
    for item in items:
        match = _NTH.fullmatch(item)
        if match is None:
            others.append(item)
            continue
        weekday, number = _number(match["weekday"], _KINDS[4], item), match["nth"]
        if number is not None and not 1 <= int(number) <= 5:
            named = match["weekday"].upper()
            raise refused(
                f"day of week: a month has no {named}#{_shown(number)}; write {named}#1 to "
                f"{named}#5, or {named}L for the last"
            )
        nth.add((weekday % 7, LAST if number is None else int(number)))
    return frozenset(nth), others


def _values(items: list[str], kind: _Kind) -> set[int]:
    return {value for item in items for value in _item_values(item, kind)}


def _item_values(item: str, kind: _Kind) -> set[int]:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise refused(f"{kind.name}: {_miss(item, kind) or _why_not(item, kind)}")
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
            raise refused(f"{kind.name}: {_miss(item, kind) or _why_not(text, kind)}")
        return kind.names[text]
    number = int(text)
    if not kind.least <= number <= kind.most:
        raise refused(f"{kind.name}: {_shown(text)} is not from {kind.least} to {kind.most}")
    return number


def _miss(item: str, kind: _Kind) -> str | None:
    """Return what to write instead of a near miss; None if what was meant is unknown."""
    for name, form, sentence in _MISSES:
        match = re.fullmatch(form, item, re.ASCII)
        # What stands only in days has been told of days already.
        is_of_days = name == "time" and kind.name not in ("day of month", "day of week")
        if match and (name in ("", kind.name) or is_of_days):
            return sentence.format(*(group.upper() for group in match.groups()))
    return None


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


def refused(sentence: str) -> InvalidInput:
    """Return an InvalidInput that names trigger.cron, with this sentence."""
    return InvalidInput.of("trigger.cron", sentence)
