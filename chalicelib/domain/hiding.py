"""Hide the values of secrets in a response, also where the target has escaped or encoded them.

The bytes are searched as received, then again after undoing every escape once, up to `_DEPTH`
times: percent encoding, JSON and JavaScript escapes, HTML character references, CR LF line ends,
base64 of text. Escapes in the value are undone in the same way, so that a value that looks like an
escape is found too. In base64 of binary data, the base64 digits that depend only on the value are
found.

This is a courtesy to the reader of a run and not a security boundary: a target can write a value
in ways that are not searched for. One is known: escapes of all kinds are undone together, so a
backslash that is written without one, before what is written with several, is lost (`&#x5C;\\\\n`).

Target and tenant choose text and values, so the time is bounded: a search is one `bytes.replace`,
linear in the text, and each value takes a fixed number of searches.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html.entities import html5

MASK = b"***"
# Number of nested levels of escapes to undo.
_DEPTH = 4
# Shorter values are not searched in base64, nor are their escapes undone: both would match too much
# other text.
_SHORTEST = 4
# Assume that an escaped value is at most this many times as long as the value.
_ESCAPED = 8
_JOINT = re.compile(b", ")
# CPython 3.11 may search a shorter text in quadratic time, a longer one in linear time.
_LINEAR_FROM = 32 * 1024

_ESCAPE = re.compile(
    rb"%[0-9A-Fa-f]{2}"
    rb"|(?:\\\\)+"
    rb"|\\(?:(?:u[dD][89abAB][0-9A-Fa-f]{2}\\)?u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[\"'/bfnrt])"
    rb"|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
    rb"|\r\n"
    rb"|(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}={0,2}"
)
_LINE_END_IN_BASE64 = re.compile(rb"(?<=[A-Za-z0-9+/])\r?\n(?=[A-Za-z0-9+/])")
_MEANINGS = {
    **{b"\\" + bytes([sign]): bytes([sign]) for sign in b"\"'/"},
    b"\\b": b"\b",
    b"\\f": b"\f",
    b"\\n": b"\n",
    b"\\r": b"\r",
    b"\\t": b"\t",
    b"\r\n": b"\n",
}
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r"))
_URL_DIGITS = bytes.maketrans(b"-_", b"+/")
_INVERTED = bytes(range(255, -1, -1))
_HIDDEN = re.compile(rb"\xff+")

# An escape's start and end in a text, and the length of its replacement.
_Change = tuple[int, int, int]
# Returns the replacement of a part of a text, None to leave the part as it is.
_Meaning = Callable[[bytes], bytes | None]


class Mask:
    """Hides values in one response. Without values it changes nothing and is falsy."""

    def __init__(self, values: Iterable[str]) -> None:
        raw = {value.encode() for value in values if value}
        self._longest = max(map(len, raw), default=0)
        # HTML forms encode a space as `+`: treat both as a space, in values and in the text.
        self._plain = {form.replace(b"+", b" ") for value in raw for form in _forms(value)}
        long = (value for value in raw if len(value) >= _SHORTEST)
        self._base64 = {form for value in long for form in _in_base64(value)}

    def __bool__(self) -> bool:
        return bool(self._plain)

    def body(self, data: bytes, keep: int, *, is_whole: bool = True) -> tuple[bytes, bool]:
        """Return the first `keep` bytes of the body with values hidden, and whether that is all.

        `is_whole` says whether `data` is the whole body. If it is not, the end of `data` is left
        out, because the beginning of a value there could not be recognised.
        """
        margin = _ESCAPED * self._longest
        window = data[: 2 * keep + margin]
        is_whole = is_whole and len(window) == len(data)
        end = len(window) if is_whole else max(0, len(window) - margin)
        hidden = _masked(window, self._flags(window), 0, end)
        return hidden[:keep], is_whole and len(hidden) <= keep

    def headers(self, fields: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, str]]:
        """Return the headers with values hidden, each as its name and its lines joined by commas.

        Header texts are bytes decoded as Latin-1. A value is also hidden if commas divide it, for
        example when the target splits it over several lines of one header.
        """
        text, parts = b"", list[tuple[int, int, int]]()
        for name, lines in fields:
            begin = len(text)
            text += name.encode("latin-1", "replace") + b"\n"
            middle = len(text)
            text += ", ".join(lines).encode("latin-1", "replace") + b"\n"
            parts.append((begin, middle, len(text) - 1))
        flags = self._flags(text)
        for glue in (b"", b","):
            glued, changes = _replaced(text, _JOINT, {b", ": glue}.get)
            if changes:
                flags = _either(flags, _before_changes(self._flags(glued, depth=1), changes))

        def shown(begin: int, end: int) -> str:
            return _masked(text, flags, begin, end).decode("latin-1")

        return [(shown(begin, middle - 1), shown(middle, end)) for begin, middle, end in parts]

    def header(self, text: str) -> str:
        """Return the value of one header with secrets hidden."""
        return self.headers([("", [text])])[0][1]

    def _flags(self, data: bytes, depth: int = _DEPTH) -> bytes:
        """Return a byte for each byte of a text: 255 where it is part of a value, else 0."""
        if not self:
            return bytes(len(data))
        flags = _search(data.replace(b"+", b" "), ((form, False, False) for form in self._plain))
        joined, changes = _replaced(data, _LINE_END_IN_BASE64, lambda _: b"")
        in_base64 = _search(joined.translate(_URL_DIGITS), self._base64)
        flags = _either(flags, _before_changes(in_base64, changes))
        if depth:
            undone, changes = _replaced(data, _ESCAPE, _meaning)
            if changes:
                flags = _either(flags, _before_changes(self._flags(undone, depth - 1), changes))
        return flags


def _search(data: bytes, forms: Iterable[tuple[bytes, bool, bool]]) -> bytes:
    """Return flags of the places where the forms occur.

    Each form says whether to flag the byte before it and the byte after it, too.
    """
    searched = data + bytes(max(0, _LINEAR_FROM - len(data)))
    whole = int.from_bytes(searched)
    found = 0
    for form, is_before, is_after in forms:
        inverted = searched.replace(form, form.translate(_INVERTED))
        if inverted != searched:
            here = whole ^ int.from_bytes(inverted)
            found |= here | (here << 8) * is_before | (here >> 8) * is_after
    return found.to_bytes(len(searched) + 1)[1 : len(data) + 1]


def _either(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one) | int.from_bytes(other)).to_bytes(len(one))


def _masked(data: bytes, flags: bytes, start: int, end: int) -> bytes:
    """Return a part of a text with each run of flagged bytes replaced by `***`."""
    kept, at = list[bytes](), start
    for run in _HIDDEN.finditer(flags, start, end):
        kept += (data[at : run.start()], MASK)
        at = run.end()
    return b"".join([*kept, data[at:end]])


def _forms(value: bytes) -> Iterator[bytes]:
    """Yield a value unchanged, then with its escapes undone once, twice, and so on."""
    yield value
    for _ in range(_DEPTH):
        value, changes = _replaced(value, _ESCAPE, _meaning)
        if not changes or len(value) < _SHORTEST:
            return
        yield value


def _in_base64(value: bytes) -> Iterator[tuple[bytes, bool, bool]]:
    """Yield the base64 digits that depend only on a value, for each alignment in a longer text.

    With each, whether the digit before and the digit after hold some bits of the value too.
    """
    yield base64.b64encode(value), False, False
    for lead in range(3):
        digits = base64.b64encode(bytes(lead) + value)
        bits = 8 * (lead + len(value))
        yield digits[-(-8 * lead // 6) : bits // 6], lead > 0, bits % 6 > 0


def _replaced(
    data: bytes, pattern: re.Pattern[bytes], meaning: _Meaning
) -> tuple[bytes, list[_Change]]:
    """Replace each match by what `meaning` returns for it; None leaves the match as it is.

    Return the new text and the changes, in order.
    """
    changes = list[_Change]()

    def put(found: re.Match[bytes]) -> bytes:
        part = found[0]
        text = meaning(part)
        if text is None:
            return part
        start, end = found.span()
        changes.append((start, end, len(text)))
        return text

    return pattern.sub(put, data), changes


def _before_changes(flags: bytes, changes: Iterable[_Change]) -> bytes:
    """Translate flags of a changed text back to the text before the changes.

    The bytes of one escape are flagged together.
    """
    pieces, at, last = list[bytes](), 0, 0
    for start, end, size in changes:
        begin = at + start - last
        flag = b"\xff" if flags.find(b"\xff", begin, begin + size) >= 0 else b"\0"
        pieces += (flags[at:begin], flag * (end - start))
        at, last = begin + size, end
    return b"".join([*pieces, flags[at:]])


def _meaning(escape: bytes) -> bytes | None:
    """Return the bytes that an escape stands for, None if it is not a valid escape."""
    if escape in _MEANINGS:
        return _MEANINGS[escape]
    match escape[:1]:
        case b"%":
            return bytes.fromhex(escape[1:].decode())
        case b"\\" if escape[1:2] == b"\\":
            return escape[::2]
        case b"\\" if escape[1:2] == b"x":
            return bytes.fromhex(escape[2:].decode())
        case b"\\":
            utf16 = bytes.fromhex(escape.replace(b"\\u", b"").decode())
            return utf16.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")
        case b"&":
            name = escape[1:].decode()
            text = html.unescape(f"&{name}") if name.startswith("#") else html5.get(name)
            return None if text is None else text.encode("utf-8", "surrogatepass")
    return _decoded(escape)


def _decoded(digits: bytes) -> bytes | None:
    """Return the text in base64 digits; None if it is not UTF-8 or has control characters."""
    digits = digits.rstrip(b"=")
    try:
        text = base64.b64decode(digits.translate(_URL_DIGITS) + b"=" * (-len(digits) % 4))
        text.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return text if text.translate(None, _CONTROLS) == text else None
