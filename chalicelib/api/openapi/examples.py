"""Examples of every request and response, for the OpenAPI document; tests send them."""

from __future__ import annotations

from typing import Any

from chalicelib.api.openapi import trigger_examples
from chalicelib.api.openapi.overview_examples import OVERVIEWS
from chalicelib.api.openapi.problem_examples import WRONG_FIELD

_REQUEST = {
    "url": "http://example.com/endpoint",
    "method": "POST",
    "headers": {"Authorization": "Bearer token"},
    "body": {"key": "value"},
}
_ONE_TIME = {"type": "one-time", "fields": {"date": "2026-12-01T10:00:00Z"}}
_CRON_IN = {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}
_CRON = {"type": "cron", "fields": _CRON_IN}

_JOB = {
    "id": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
    "name": "My Job",
    "created_at": "2026-11-23T10:00:00Z",
    "updated_at": "2026-11-23T10:00:00Z",
    "next_run_time": "2026-12-01T10:00:00Z",
    "status": "active",
    "trigger": _ONE_TIME,
    "request": _REQUEST,
    "timeout": 30,
    "retry": {"max_attempts": 3, "initial_delay": 10, "max_delay": 3600},
    "overlap": "allow",
    "misfire_grace": None,
    "labels": {"team": "billing"},
    "key": None,
    "callbacks": None,
    "pause_after": None,
    "pause": None,
    "skips": 0,
    "backfill": None,
    "success": None,
    "flow": None,
    "result": None,
}
_ATTEMPT = {
    "number": 1,
    "started_at": "2026-12-01T10:00:00.041Z",
    "duration_ms": 146,
    "outcome": "success",
    "status_code": 200,
    "response": {
        "headers": {"content-type": "application/json"},
        "body": '{"ok":true}',
        "truncated": False,
    },
    "error": None,
}
_RUN = {
    "id": "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z",
    "job_id": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
    "cause": "schedule",
    "status": "succeeded",
    "scheduled_time": "2026-12-01T10:00:00Z",
    "started_at": "2026-12-01T10:00:00.041Z",
    "finished_at": "2026-12-01T10:00:00.187Z",
    "lateness_ms": 41,
    "attempts": [_ATTEMPT],
    "next_attempt_at": None,
    "reason": None,
}
_RETRY: dict[str, Any] = {
    "id": "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z-r1",
    "job_id": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
    "cause": "retry",
    "status": "queued",
    "scheduled_time": "2026-12-01T10:00:00Z",
    "started_at": None,
    "finished_at": None,
    "lateness_ms": None,
    "attempts": [],
    "next_attempt_at": "2026-12-02T08:30:00.000Z",
    "reason": None,
    "retry_of": "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z",
}
_WAITING: dict[str, Any] = {
    **_RUN,
    "status": "waiting",
    "finished_at": None,
    "attempts": [{**_ATTEMPT, "status_code": 202}],
    "deadline": "2026-12-01T11:00:00.041Z",
}
_CHANNEL = {
    "name": "billing",
    "url": "https://hooks.slack.com/services/T000/B000/XXXX",
    "format": "slack",
    "events": [
        "run.failed",
        "run.missed",
        "job.recovered",
        "job.paused",
        "flow.opened",
        "flow.closed",
    ],
    "label": "team:billing",
    "after": 1,
    "digest": 120,
    "created_at": "2026-11-23T10:00:00Z",
    "updated_at": "2026-11-23T10:00:00Z",
    "last_delivery": {
        "job_id": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
        "event": "run.failed",
        "status": "succeeded",
        "finished_at": "2026-12-01T10:00:01.187Z",
        "status_code": 200,
        "error": None,
    },
}
_FLOW = {
    "name": "host:api.example.com",
    "rate": {"requests": 10, "seconds": 1, "burst": 1},
    "concurrency": 5,
    "paused": False,
    "breaker": {"failures": 20, "probe_seconds": 60},
    "state": "closed",
    "opened_at": None,
    "waiting": 0,
    "out": 2,
    "created_at": "2026-11-23T10:00:00Z",
    "updated_at": "2026-11-23T10:00:00Z",
}
_WITHOUT_RESPONSE = {name: value for name, value in _ATTEMPT.items() if name != "response"}
# Model: {name of the example: the JSON value}.
EXAMPLES: dict[str, dict[str, Any]] = {
    "JobIn": {
        "After a delay": {"name": "My Job", "request": _REQUEST, "trigger": {"delay": 5}},
        "At a date": {
            "name": "Remind Ada",
            "request": {"url": "https://example.com/reminders", "body": {"to": "ada"}},
            "trigger": {"date": "2027-01-31T09:00:00", "timezone": "Europe/Berlin"},
            "labels": {"team": "billing"},
        },
        "Again and again": {
            "name": "Report",
            "request": {"url": "https://example.com/report"},
            "trigger": _CRON_IN,
            "retry": {"max_attempts": 5, "initial_delay": 10, "max_delay": 600},
            "overlap": "skip",
            "key": "report",
            "callbacks": {"failed": {"url": "https://example.com/failed"}},
            "pause_after": 5,
        },
        "Long work": {
            "name": "Invoices",
            "request": {"url": "https://example.com/invoices"},
            "trigger": _CRON_IN,
            "completion": "callback",
            "deadline": 3600,
        },
        "Every 90 seconds": {
            "name": "Look for orders",
            "request": {"url": "https://example.com/orders", "method": "GET"},
            "trigger": {"every": 90},
            "overlap": "skip",
        },
    },
    "JobUpdateIn": {
        "Another trigger": {"trigger": {"date": "2027-01-31T09:00:00+01:00"}},
        "Another name": {"name": "Updated Job", "labels": {"team": "sales"}},
    },
    "JobReplacementIn": {
        "A cron with a key": {
            "name": "Report",
            "request": {"url": "https://example.com/report"},
            "trigger": _CRON_IN,
        },
    },
    "PauseIn": {
        "Until a date": {"until": "2027-01-04T08:00:00+01:00", "reason": "holidays"},
    },
    "SkipIn": {"The next one": {"count": 1}, "None after all": {"count": 0}},
    "Job": {
        "A job": _JOB,
        "A paused job": {
            **_JOB,
            "next_run_time": None,
            "status": "paused",
            "trigger": _CRON,
            "pause": {
                "since": "2026-11-23T10:00:00Z",
                "until": "2027-01-04T07:00:00Z",
                "reason": "holidays",
                "by": "4Fq0sX1bTz9K",
            },
        },
    },
    "Jobs": {
        "One job": [_JOB],
        "With its recent runs": [
            {**_JOB, "trigger": _CRON, "recent_runs": ["succeeded", "failed", "succeeded"]}
        ],
    },
    "Run": {"A run": _RUN, "A retry": _RETRY, "One that waits for its target": _WAITING},
    "CompletionIn": {
        "It has succeeded": {"status": "succeeded", "body": {"invoices": 118}},
        "It has failed": {"status": "failed", "message": "the disk is full", "retry": True},
        "It needs more time": {"extend": 1800},
    },
    "Extended": {"Half an hour more": {"deadline": "2026-12-01T11:30:00.000Z"}},
    "Runs": {"One run": [{**_RUN, "attempts": [_WITHOUT_RESPONSE]}]},
    **OVERVIEWS,
    "BatchIn": {
        "Two jobs": {
            "jobs": [
                {
                    "name": "Report",
                    "request": {"url": "https://example.com/report"},
                    "trigger": _CRON_IN,
                    "key": "weekly",
                },
                {
                    "name": "",
                    "request": {"url": "https://example.com/report"},
                    "trigger": {"delay": 5},
                },
            ]
        },
    },
    "BatchResults": {
        "One is wrong": {
            "results": [
                {"status": 201, "job": {**_JOB, "trigger": _CRON, "key": "weekly"}},
                {
                    "status": 422,
                    "problem": {
                        **WRONG_FIELD,
                        "detail": "name: must have at least 1 character",
                        "errors": [{"field": "name", "message": "must have at least 1 character"}],
                    },
                },
            ]
        },
    },
    "BackfillIn": {"Five days": {"from": "2026-11-16T00:00:00Z", "to": "2026-11-20T23:59:59Z"}},
    "BackfillBegun": {"Five runs": {"runs": 5}},
    "Changed": {"Three jobs": {"changed": 3}},
    "Retried": {"Three runs": {"retried": 3, "left": 0}},
    **trigger_examples.EXAMPLES,
    "SecretIn": {"A token": {"value": "s3cr3t"}},
    "Secrets": {
        "One secret": [
            {
                "name": "api_token",
                "created_at": "2026-11-23T10:00:00Z",
                "updated_at": "2026-11-23T10:00:00Z",
            }
        ]
    },
    "SigningSecrets": {
        "Just rotated": {
            "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "previous": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "previous_expires_at": "2026-12-02T10:00:00Z",
        },
    },
    "FlowIn": {
        "Ten a second": {"rate": {"requests": 10, "seconds": 1}},
        "No limits": {},
    },
    "Flow": {"A flow": _FLOW},
    "Flows": {"One flow": [_FLOW]},
    "ChannelIn": {
        "Slack": {
            "url": "https://hooks.slack.com/services/T000/B000/XXXX",
            "format": "slack",
            "label": "team:billing",
            "digest": 120,
        },
        "A server of yours": {
            "url": "https://example.com/notices",
            "events": ["run.failed", "job.recovered"],
            "after": 3,
        },
    },
    "Channel": {"Slack": _CHANNEL},
    "Channels": {"One channel": [_CHANNEL]},
    "Health": {"It is there": {"status": "ok", "version": "0.2.0"}},
    "Index": {
        "On a laptop": {
            "name": "Resona",
            "version": "0.2.0",
            "console": "http://localhost:8000/console",
            "docs": "http://localhost:8000/docs",
            "openapi": "http://localhost:8000/openapi.json",
            "health": "http://localhost:8000/health",
            "jobs": "http://localhost:8000/jobs",
        },
    },
    "OpenApi": {"Its beginning": {"openapi": "3.1.0"}},
    "Problem": {"A wrong field": WRONG_FIELD},
}
