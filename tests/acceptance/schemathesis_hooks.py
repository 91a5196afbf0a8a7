"""Tell schemathesis how valid values of Resona's formats look.

Loaded by schemathesis alone.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st

TARGET = os.environ.get("RESONA_TEST_TARGET", "http://127.0.0.1:9000")
_URL = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[!-~]{1,2040}")
_ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
_NOW = datetime.now(UTC)


def _dates(form: str) -> st.SearchStrategy[str]:
    return st.integers(3_600, 300_000_000).map(
        lambda seconds: (_NOW + timedelta(seconds=seconds)).strftime(form)
    )


_minutes, _hours = st.integers(0, 59).map(str), st.integers(0, 23).map(str)
_crons = st.one_of(
    st.sampled_from(
        ["@daily", "@hourly", "*/5 * * * *", "0 9 * * 1-5", "0 0 1 jan *", "30 2 * * sun"]
    ),
    st.tuples(
        _minutes, _hours, st.just("*"), st.just("*"), st.sampled_from(["*", "1", "mon-fri"])
    ).map(" ".join),
)
# Of the longest that may be, and of those a little longer, schemathesis asks for some; it would
# look for them long, and in vain.
_paths = st.one_of(
    st.from_regex(r"[a-z0-9/._-]{0,40}", fullmatch=True),
    st.from_regex(r"[a-z0-9/._-]{0,40}", fullmatch=True),
    st.integers(2047, 2049).map(lambda length: "a" * (length - len(f"{TARGET}/"))),
)
schemathesis.openapi.format("http-url", _paths.map(lambda path: f"{TARGET}/{path}"))
schemathesis.openapi.format("cron", _crons)
schemathesis.openapi.format("time-zone", st.sampled_from(_ZONES))
schemathesis.openapi.format(
    "iso-8601",
    st.sampled_from(["", "Z", "+05:30"]).flatmap(
        lambda offset: _dates(f"%Y-%m-%dT12:%M:%S{offset}")
    ),
)


# What a body may be refused for though it is as the description says: rules that no JSON schema can
# say.
_REASONS = re.compile(
    "must not be less than initial_delay|it cannot be changed"
    # No pattern says which hosts a URL can have, nor that a range must not end before it begins.
    "|must be 1 to 64 of A-Z .* or host: and a host .*"
    "|must be a status from 100 to 599, or a range .*|ends before it begins: .*"
    # No schema compares two fields, or a field with the time or with what is stored.
    "|must not be in the future: .*|must not be before the first time to show: .*"
    "|must be at most [0-9]+ years after from, after or now|must be in the years [0-9]+ to [0-9]+"
    "|the job has no occurrence from then to .*|more than 1,000 occurrences are in this range; .*"
    "|at most [0-9]+ for each second: .*|must be at most requests"
    "|is for retries: leave it out, .*|[0-9]{3} is a success, which is never retried: .*"
    "|this cron occurs again after [0-9]+ seconds: .*|these calendars leave no occurrence .*"
    "|there is no calendar .*|names .* again: give each calendar once"
    "|an answer to HEAD has no body: .*|at most [0-9]+ seconds are left: .*"
    "|job.recovered is told only after run.failed: ask for both"
    "|is read-only: leave it out, or send its present value"
    "|was used with another body; use a new key for a new request"
    "|is set by Resona or by the connection; leave it out"
    "|is given twice; upper and lower case do not differ in header names"
    "|must be a string of 1 to 4096 bytes"
    # Of a pattern for lists of entity tags schemathesis makes `0`.
    "|must be \\* or entity tags as ETag has them, .*"
    "|there is no such date and time|has passed; give a date in the future"
    "|is more than 10 years ahead|the clocks of .* skip this time; .*"
    "|must be at most 50, and 16384 bytes in all|there is no secret .*"
    "|must be the key in the path, or left out"
    "|sort=next_run_time lists active jobs alone; leave status out"
    "|must be before until, by at most 168 hours|must not be after until"
    "|the stage does not allow this topic: .*|SNS sends no e-mail from a FIFO topic: .*"
    "|give either delays, or initial_delay and max_delay"
    "|takes no placeholders: .*"
    '|give it with "completion": "callback".*|is for "completion": "callback"; leave it out'
    "|give status, body_contains or json, or leave success out"
    "|must have at most 4096 bytes as JSON"
    "|does not occur again; .*|must be in 1970 or later|an interval has no time zone: .*"
    "|is before the first occurrence.*|must not be before from"
    "|as a query parameter it is for text/calendar: write it in the body"
    "|is not one of Resona's for this list; begin without a cursor"
    "|give days, weekdays or both; .*|notices are listed newest first: leave out sort"
)


@schemathesis.check
def refused_for_a_reason(context: Any, response: Any, case: Any) -> None:
    """Fail if what the description allows is refused for what it could have said."""
    del context
    if (
        response.status_code == 422
        and case.meta is not None
        and case.meta.generation.mode.is_positive
    ):
        untold = [
            error for error in response.json()["errors"] if not _REASONS.fullmatch(error["message"])
        ]
        assert not untold, untold


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Let every job that may be registered call the test's own receiver: nothing leaves this
    machine.
    """
    del context, kwargs
    bodies = (
        case.body.get("jobs", [])
        if isinstance(case.body, dict) and isinstance(case.body.get("jobs"), list)
        else [case.body]
    )
    for body in bodies:
        request = body.get("request") if isinstance(body, dict) else None
        url = request.get("url") if isinstance(request, dict) else None
        if (
            isinstance(request, dict)
            and isinstance(url, str)
            and _URL.fullmatch(url)
            and not url.startswith(TARGET)
        ):
            request["url"] = f"{TARGET}/elsewhere"
