"""The types of fields that several response models have."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, with_config

from chalicelib.domain.calendars import CALENDAR_NAME
from chalicelib.domain.ids import JOB_ID, RUN_ID
from chalicelib.domain.request import METHODS
from chalicelib.domain.run import ENDED, Reason

# The texts under the fields are their descriptions; they are read only for OpenAPI.
described = with_config(ConfigDict(use_attribute_docstrings=True))


def with_pattern(pattern: str, **words: str) -> Any:
    """Return what gives a text a pattern, and other words, in its JSON schema."""
    return Field(json_schema_extra={"pattern": pattern, **words})


Due = Annotated[str, with_pattern(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", format="date-time")]
Measured = Annotated[
    str, with_pattern(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", format="date-time")
]
JobId = Annotated[str, with_pattern(f"^{JOB_ID.pattern}$")]
RunId = Annotated[str, with_pattern(f"^{RUN_ID.pattern}$")]
Method = Annotated[str, Field(json_schema_extra={"enum": list(METHODS)})]
Ended = Annotated[str, Field(json_schema_extra={"enum": list(ENDED)})]
EndStatus = Annotated[str, Field(json_schema_extra={"enum": ["succeeded", "failed"]})]
Encoding = Annotated[
    str,
    Field(json_schema_extra={"const": "base64"}, description="Present if the body is not UTF-8."),
]


EndsAt = Annotated[Due, Field(description="No occurrence is after then.")]
MaxRuns = Annotated[
    int, Field(description="Occurrences after which the trigger ends; skipped ones do not count.")
]
Excluded = Annotated[
    list[str], Field(description="Names of calendars on whose days nothing is sent.")
]
ReasonText = Annotated[
    str,
    with_pattern(
        f"^({'|'.join(one for one in Reason if one is not Reason.CALENDAR)}"
        f"|{Reason.CALENDAR}:{CALENDAR_NAME.pattern})$"
    ),
]
