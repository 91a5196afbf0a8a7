"""Parse If-Match and If-None-Match (RFC 9110, section 13), and refuse unsupported conditions.

Only a job has a validator, its ETag. No resource has `Last-Modified`, and no route serves ranges.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.domain.errors import FieldError

IF_MATCH, IF_NONE_MATCH = "If-Match", "If-None-Match"
_CONDITIONAL = (IF_MATCH, IF_NONE_MATCH, "If-Modified-Since", "If-Unmodified-Since", "If-Range")
# On GET and HEAD these only save a transfer. RFC 9110 lets a server without dates and ranges ignore
# them and send the whole response.
_IGNORED_WHEN_READING = (IF_NONE_MATCH, "If-Modified-Since", "If-Unmodified-Since", "If-Range")

_TAG = r'(?:W/)?"[!#-~\u0080-\u00ff]*"'
# RFC 9110, 5.6.1.2: a list may have empty elements.
_LIST_OF_TAGS = rf"^(?:\*|[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*)$"


@dataclass(frozen=True, slots=True)
class Tags:
    """The value of If-Match or If-None-Match: entity tags with their quotes, or `*`, which matches
    every existing resource.
    """

    tags: frozenset[str]
    is_any: bool = False

    @classmethod
    def parse(cls, text: str) -> Tags | None:
        """Read a header's value; None for a value that RFC 9110 does not allow."""
        text = text.strip(" \t")
        if not re.fullmatch(_LIST_OF_TAGS, text):
            return None
        return cls(frozenset(re.findall(_TAG, text)), is_any=text == "*")

    def strongly_name(self, tag: str) -> bool:
        """Return whether a strong tag matches by strong comparison: weak tags never match."""
        return self.is_any or tag in self.tags

    def weakly_name(self, tag: str) -> bool:
        """Return whether `tag` matches by weak comparison, which ignores `W/`."""
        return self.is_any or tag in {named.removeprefix("W/") for named in self.tags}


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The parsed If-Match and If-None-Match of a request; None for a header that was not sent."""

    match: Tags | None = None
    none_match: Tags | None = None


def read_preconditions(
    sent: Mapping[str, str], taken: tuple[str, ...], *, reads: bool
) -> tuple[Preconditions, list[FieldError]]:
    """Return the preconditions, and an error for each malformed or unsupported header.

    A malformed If-Match matches nothing. `taken` are the headers that the route supports; `reads`
    is True for GET and HEAD. On other methods an unsupported header is an error, because ignoring
    it could overwrite something.
    """
    errors: list[FieldError] = []
    read: dict[str, Tags] = {}
    for name in _CONDITIONAL:
        text = sent.get(name)
        if text is None:
            continue
        if name in taken:
            tags = Tags.parse(text)
            if tags is None and name == IF_MATCH:
                # Clients rely on 412 for every value that is not the current ETag.
                tags = Tags(frozenset())
            if tags is None:
                errors.append(
                    FieldError(
                        name,
                        'must be * or entity tags as ETag has them, each in its quotes: "01JD…-1"',
                    )
                )
            else:
                read[name] = tags
        elif not (reads and name in _IGNORED_WHEN_READING):
            instead = (
                f"send {' or '.join(_served(taken))} with a job's ETag"
                if _served(taken)
                else "send the request without it"
            )
            errors.append(FieldError(name, f"is not served here, and is not ignored: {instead}"))
    return Preconditions(read.get(IF_MATCH), read.get(IF_NONE_MATCH)), errors


def _served(taken: tuple[str, ...]) -> list[str]:
    return [name for name in (IF_MATCH, IF_NONE_MATCH) if name in taken]
