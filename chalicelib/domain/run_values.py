"""What a request can say of its run: the values of the placeholders `{{run.…}}` and `{{job.…}}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from chalicelib.domain import time_zones
from chalicelib.domain.cron import Cron
from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.instant import format_instant
from chalicelib.domain.job import Definition

RUN_VALUES = (
    "run.id",
    "run.attempt",
    "run.scheduled_time",
    "run.scheduled_date",
    "run.scheduled_unix",
    "job.id",
    "job.key",
    "job.name",
)
OF_RUN = re.compile(r"\{\{((?:run|job)\.[^{}]*)\}\}", re.ASCII)
# Visible ASCII without the percent sign, and the space.
_HEADER_SAFE = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"


def run_values(definition: Definition, key: RunKey, attempt: int) -> Mapping[str, str]:
    """Return the values of RUN_VALUES for an attempt of a run.

    The date is the day of the due time in the zone of the job's cron, in UTC without one. A job
    without a key has an empty one.
    """
    trigger = definition.trigger
    zone = time_zones.zone(trigger.timezone if isinstance(trigger, Cron) else "UTC")
    values = (
        run_id(definition.id, key),
        str(attempt),
        format_instant(key.due_at),
        key.due_at.astimezone(zone).date().isoformat(),
        str(int(key.due_at.timestamp())),
        definition.id,
        definition.key or "",
        definition.name,
    )
    return dict(zip(RUN_VALUES, values, strict=True))


def filled(url: str, values: Mapping[str, str]) -> str:
    """Return a URL with these values in place of their placeholders."""
    return OF_RUN.sub(
        lambda found: for_url(values[found[1]]) if found[1] in values else found[0], url
    )


def for_url(value: str) -> str:
    """Percent-encode a value for a path or a query; it stays within its segment or field.

    Control characters, which a path must not have, become spaces.
    """
    return quote(re.sub(r"[\x00-\x1f\x7f]", " ", value), safe="")


def for_header(value: str) -> str:
    """Percent-encode what a header's value cannot carry: all but visible ASCII and inner spaces."""
    encoded = quote(value, safe=_HEADER_SAFE, errors="replace")
    return re.sub("^ +| +$", lambda found: "%20" * len(found[0]), encoded)
