"""Read and write JSON so that numbers keep their digits: `1E5` stays `1E5`, `0.10` stays `0.10`.

Python reads numbers as int and float and writes those in its own form. A number that it would write
differently is read as a `Number`, which holds the text. `json.dumps` refuses a `Number` with a
TypeError; use `write`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
SORTED = json.JSONEncoder(sort_keys=True)

# Whole numbers with at most this many digits are compared as int.
_LONGEST_WHOLE = 400
# int() refuses more than 4,300 digits.
_LONGEST_EXPONENT = 1000


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number that Python would write differently, as the text that was read.

    Two are equal only if their texts are equal.
    """

    text: str

    def __float__(self) -> float:
        return float(self.text)


def integer(text: str) -> int | Number:
    """Read a number without fraction and exponent.

    Raises ValueError for more than 4,300 digits, which Python refuses to read.
    """
    return Number(text) if text == "-0" else int(text)


def real(text: str) -> float | Number:
    """Read a number that has a fraction or an exponent."""
    number = float(text)
    return number if repr(number) == text else Number(text)


_decoder = json.JSONDecoder(parse_int=integer, parse_float=real)


def read(text: str) -> object:
    """Read a JSON text. Raises json.JSONDecodeError."""
    return _decoder.decode(text)


def write(value: object, encoder: json.JSONEncoder = COMPACT) -> str:
    """Write a JSON value, each `Number` as its text.

    Raises TypeError or ValueError for anything that is not a JSON value, such as NaN.
    """
    try:
        return encoder.encode(value)
    except TypeError:
        # Try the standard library first: it is ten times as fast, and most values have no Number.
        return _write(value, encoder)


def _write(value: object, encoder: json.JSONEncoder) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        pairs = sorted(value.items()) if encoder.sort_keys else value.items()
        members = [
            _name(name, encoder) + encoder.key_separator + _write(member, encoder)
            for name, member in pairs
        ]
        return "{" + encoder.item_separator.join(members) + "}"
    if isinstance(value, list | tuple):
        return (
            "[" + encoder.item_separator.join([_write(member, encoder) for member in value]) + "]"
        )
    return encoder.encode(value)


def _name(name: object, encoder: json.JSONEncoder) -> str:
    if not isinstance(name, str):
        raise TypeError("a name of a JSON object must be a string")
    return encoder.encode(name)


def plain(value: object) -> object:
    """Return a `Number` as the float nearest to it, and everything else as it is."""
    return float(value) if isinstance(value, Number) else value


def canonical(value: object) -> object:
    """Return a JSON value with each number in one form: 5, 5.0 and 0.5e1 become the same."""
    if isinstance(value, dict):
        return {name: canonical(member) for name, member in value.items()}
    if isinstance(value, list):
        return [canonical(member) for member in value]
    if isinstance(value, Number):
        return _canonical(value.text)
    return _canonical(repr(value)) if isinstance(value, float) else value


def is_same(one: object, other: object) -> bool:
    """Return whether two JSON values are equal, numbers by their exact value."""
    # Compare JSON texts: in Python False == 0 and True == 1.
    return write(canonical(one), SORTED) == write(canonical(other), SORTED)


def _canonical(text: str) -> int | float | Number:
    parts = _parts(text)
    if parts is None:
        return Number(text)
    digits, power = parts
    if power >= 0 and len(digits) + power <= _LONGEST_WHOLE:
        return int(digits) * int(10**power)
    # Use a float where it is exact: fingerprints stored by earlier versions were made of floats.
    nearest = float(text)
    return nearest if _parts(repr(nearest)) == parts else Number(f"{digits}e{power}")


def _parts(text: str) -> tuple[str, int] | None:
    """Return the digits without outer zeros, and the power of ten to multiply them by.

    Returns None for an exponent of more than 1,000 digits.
    """
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    sign = "-" if whole.startswith("-") else ""
    digits = (whole.removeprefix("-") + fraction).lstrip("0")
    if not digits:
        return "0", 0
    if len(exponent) > _LONGEST_EXPONENT:
        return None
    significant = digits.rstrip("0")
    return sign + significant, int(exponent or 0) - len(fraction) + len(digits) - len(significant)
