"""Examples of previews of triggers and of calendars, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

_CALENDAR = {
    "name": "holidays-de",
    "timezone": "Europe/Berlin",
    "days": ["2026-12-25", "2026-12-24/2027-01-02"],
    "weekdays": ["sat", "sun"],
    "created_at": "2026-11-23T10:00:00Z",
    "updated_at": "2026-11-23T10:00:00Z",
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "PreviewIn": {
        "Through a clock change": {
            "trigger": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
            "after": "2027-03-27T00:00:00Z",
            "count": 3,
        },
        "Making up for a skipped time": {
            "trigger": {
                "cron": "30 2 * * *",
                "timezone": "Europe/Berlin",
                "dst": {"gap": "next", "fold": "first"},
            },
            "after": "2027-03-27T00:00:00Z",
            "count": 2,
        },
        "The last day and the second Friday of each month": {
            "trigger": {"cron": "0 9 L * 5#2", "timezone": "Europe/Berlin"},
            "from": "2027-01-01T00:00:00Z",
            "to": "2027-02-28T23:59:59Z",
        },
    },
    "Preview": {
        "Through a clock change": {
            "trigger": {
                "type": "cron",
                "fields": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
            },
            "next_run_times": [
                "2027-03-27T01:30:00Z",
                "2027-03-29T00:30:00Z",
                "2027-03-30T00:30:00Z",
            ],
            "notes": [
                "On 28 March 2027 the time 02:30 does not exist in Europe/Berlin: no run that day"
            ],
            "in_words": "every day at 02:30 in Berlin",
        },
        "Making up for a skipped time": {
            "trigger": {
                "type": "cron",
                "fields": {
                    "cron": "30 2 * * *",
                    "timezone": "Europe/Berlin",
                    "dst": {"gap": "next", "fold": "first"},
                },
            },
            "next_run_times": ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z"],
            "notes": [
                "On 28 March 2027 the time 02:30 does not exist in Europe/Berlin: one run at 03:00 "
                "instead"
            ],
            "in_words": "every day at 02:30 in Berlin, right after the gap if clocks skip the time",
        },
        "The last day and the second Friday of each month": {
            "trigger": {
                "type": "cron",
                "fields": {"cron": "0 9 L * 5#2", "timezone": "Europe/Berlin"},
            },
            "next_run_times": [
                "2027-01-08T08:00:00Z",
                "2027-01-31T08:00:00Z",
                "2027-02-12T08:00:00Z",
                "2027-02-28T08:00:00Z",
            ],
            "notes": [],
            "in_words": "by the cron 0 9 L * 5#2 in Berlin",
        },
    },
    "CalendarIn": {
        "Holidays": {name: _CALENDAR[name] for name in ("timezone", "days", "weekdays")}
    },
    "Calendar": {"Holidays": _CALENDAR},
    "Calendars": {"One calendar": [_CALENDAR]},
}
