"""Examples of what is answered about all jobs, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

OVERVIEWS: dict[str, dict[str, Any]] = {
    "RunHours": {
        "Two hours": {
            "hours": [
                {
                    "hour": "2026-12-01T09:00:00Z",
                    "succeeded": 118,
                    "failed": 1,
                    "missed": 0,
                    "skipped": 2,
                    "lateness_ms": {"p50": 41, "p99": 150},
                },
                {
                    "hour": "2026-12-01T10:00:00Z",
                    "succeeded": 0,
                    "failed": 0,
                    "missed": 0,
                    "skipped": 0,
                    "lateness_ms": None,
                },
            ],
            "total": {
                "succeeded": 118,
                "failed": 1,
                "missed": 0,
                "skipped": 2,
                "lateness_ms": {"p50": 41, "p99": 150},
            },
            "counted_until": "2026-12-01T10:12:03.120Z",
            "complete": True,
        },
    },
    "Upcoming": {
        "The next day": {
            "occurrences": [
                {
                    "job_id": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
                    "key": "report",
                    "name": "Report",
                    "labels": {"team": "billing"},
                    "scheduled_time": "2026-12-01T10:00:00Z",
                    "skipped": False,
                }
            ],
            "until": "2026-12-02T09:30:00Z",
            "complete_until": "2026-12-02T09:30:00Z",
        },
    },
}
