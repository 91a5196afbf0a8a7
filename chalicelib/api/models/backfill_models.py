"""The response models of backfills, made as those of jobs in `response_models`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from chalicelib.api.models.response_fields import Due, described
from chalicelib.domain import backfill as domain_backfill
from chalicelib.domain.instant import format_instant

# `from` is a keyword of Python.
Backfill = TypedDict(
    "Backfill",
    {
        "from": Annotated[Due, Field(description="The beginning of its range.")],
        "to": Annotated[Due, Field(description="The end of its range.")],
        "runs": Annotated[int, Field(description="How many occurrences are in the range.")],
        "left": Annotated[int, Field(description="How many of its runs have not ended.")],
    },
)
Backfill.__doc__ = "A backfill that is under way: a run for each occurrence in a past range."


@described
class BackfillBegun(TypedDict):
    """A backfill that has begun."""

    runs: int
    """How many runs it has."""


def backfill_view(backfill: domain_backfill.Backfill | None) -> Backfill | None:
    """Return a job's backfill as the API shows it, None for none."""
    if backfill is None:
        return None
    return {
        "from": format_instant(backfill.since),
        "to": format_instant(backfill.until),
        "runs": backfill.runs,
        "left": backfill.left,
    }
