"""The rules of texts that people write and read: names, labels, and the reason of a pause."""

from __future__ import annotations

import re
from collections.abc import Mapping

from chalicelib.api.models.validation import Errors

_CONTROL = r"\u0000-\u001f\u007f-\u009f"
# As JSON Schema has it: no control character, and one that is no space.
TEXT = rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"
NO_CONTROL = rf"^[^{_CONTROL}]*$"
_ANY_CONTROL = re.compile(f"[{_CONTROL}]")


def check_text(
    errors: Errors,
    field: str,
    text: str | None,
    old: str | None = None,
    *,
    may_be_blank: bool = False,
) -> None:
    """Add an error for a text with control characters, or a blank one.

    `old` is the stored text, which stays valid: it may be older than this rule.
    """
    if text is None or text == old:
        return
    if _ANY_CONTROL.search(text):
        errors.add(field, "must be one line: write spaces for line ends and control characters")
    elif text.isspace() and not may_be_blank:
        errors.add(field, "must not be blank: write a character that is no space")


def in_one_line(text: str) -> str:
    """Return a text that is not refused for its control characters: a space for each of them."""
    return _ANY_CONTROL.sub(" ", text).strip()


def check_labels(errors: Errors, labels: Mapping[str, str], old: Mapping[str, str]) -> None:
    """Add an error for each label that nobody could read, or a filter `label=key:value` name.

    `old` are the job's present labels, which stay valid.
    """
    for name, value in labels.items():
        if name not in old:
            check_text(errors, f"labels.{name}", name)
            if ":" in name:
                errors.add(
                    f"labels.{name}",
                    "a label's key must have no colon: in label=key:value the first colon divides",
                )
        check_text(errors, f"labels.{name}", value, old.get(name), may_be_blank=True)
