"""Metrics: how events are counted, in documents that CloudWatch accepts."""

from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.run import Outcome, RunStatus
from chalicelib.telemetry.metrics import METRICS, Tally
from tests.telemetry.test_lines import record

DOCS = (Path(__file__).parent.parent.parent / "docs" / "logs.md").read_text()
NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "additionalProperties": False,
    "properties": {
        "Namespace": NAME,
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "maxItems": 30, "items": {**NAME, "maxLength": 250}},
        },
        "Metrics": {
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["Name"],
                "properties": {"Name": NAME, "Unit": {"enum": ["Count", "Milliseconds"]}},
            },
        },
    },
}
METADATA = {
    "type": "object",
    "required": ["Timestamp", "CloudWatchMetrics"],
    "additionalProperties": False,
    "properties": {
        "Timestamp": {"type": "integer"},
        "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": DIRECTIVE},
    },
}
VALID = jsonschema_rs.validator_for(
    {"type": "object", "required": ["_aws"], "properties": {"_aws": METADATA}}
)
AT = 1_795_526_611_541


def tallied(*events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    tally = Tally()
    for name, fields in events:
        tally.handle(
            record(
                text=name, level=logging.ERROR if name == "sweep.failed" else logging.INFO, **fields
            )
        )
    documents = tally.documents("dev", "deliver", AT)
    for document in documents:
        hold(document)
    return documents


def hold(document: dict[str, Any]) -> None:
    """Hold a document to the specification: its schema, and what a schema cannot say of its
    targets.
    """
    VALID.validate(document)
    assert len(json.dumps(document)) < 256 * 1024
    seen = set()
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for dimensions in directive["Dimensions"]:
            assert all(
                isinstance(document[name], str) and 0 < len(document[name]) <= 1024
                for name in dimensions
            )
        for metric in directive["Metrics"]:
            values = document[metric["Name"]]
            assert isinstance(values, int) or (
                0 < len(values) <= 100 and all(isinstance(value, int) for value in values)
            )
            assert metric["Name"] not in seen, (
                "a metric is in two directives, and would count twice"
            )
            seen.add(metric["Name"])


def ended(
    attempt: int = 1, outcome: str = "success", lateness_ms: int | None = 40, **fields: Any
) -> tuple[str, dict[str, Any]]:
    return "attempt.ended", {
        "attempt": attempt,
        "outcome": outcome,
        "lateness_ms": lateness_ms if attempt == 1 else None,
        **fields,
    }


def test_an_invocation_of_one_firing_is_one_document() -> None:
    (document,) = tallied(ended(), ("run.ended", {"status": "succeeded"}))
    assert {name: value for name, value in document.items() if name != "_aws"} == {
        "stage": "dev",
        "Lateness": [40],
    }


def test_nothing_counted_is_nothing_written() -> None:
    assert (
        tallied()
        == tallied(("message.ignored", {"why": "someone was first"}), ("job.created", {}))
        == []
    )


def test_a_sweep_that_found_nothing_says_so() -> None:
    (document,) = tallied(("sweep.ended", {}))
    assert document["Overdue"] == 0


def test_every_job_that_a_sweep_found_is_overdue_whether_it_could_be_armed_or_not() -> None:
    (document,) = tallied(
        ("job.overdue", {}), ("sweep.failed", {}), ("job.overdue", {}), ("sweep.ended", {})
    )
    assert (document["Overdue"], document["Failures"], document["function"]) == (3, 1, "deliver")


def sums(*events: tuple[str, dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for document in tallied(*events):
        for name in METRICS.keys() & document.keys():
            value = document[name]
            found[name] = found.get(name, 0) + (sum(value) if isinstance(value, list) else value)
    return found


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ended(), {"Lateness": 40}),
        (ended(attempt=2, outcome="timeout"), {"Attempts": 1, "Retries": 1}),
        (ended(manual=True), {}),
        (ended(attempt=2), {"Retries": 1}),
        (("attempt.unknown", {"attempt": 1, "outcome": "unknown"}), {"Attempts": 1}),
        (("attempt.unknown", {"attempt": 3, "outcome": "unknown"}), {"Attempts": 1, "Retries": 1}),
        (("attempt.abandoned", {"attempt": 1}), {}),
        (("run.ended", {"status": "missed", "occurrences": 7}), {"Unsent": 7, "Runs": 1}),
        (("run.ended", {"status": "skipped", "occurrences": 1}), {"Unsent": 1, "Runs": 1}),
        (("run.ended", {"status": "failed", "occurrences": None}), {"Runs": 1}),
        (("run.ended", {"status": "succeeded"}), {}),
        (("run.retrying", {}), {}),
    ],
)
def test_what_an_event_counts_for(
    event: tuple[str, dict[str, Any]], expected: dict[str, int]
) -> None:
    assert sums(event) == expected


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.sampled_from(["success", "timeout", "blocked"]),
            st.integers(-5, 10**7),
        ),
        max_size=350,
    ),
    st.lists(st.sampled_from(["failed", "missed", "skipped"]), max_size=30),
)
def test_no_value_is_lost_or_counted_twice_however_many_there_are(
    attempts: list[tuple[int, str, int]], runs: list[str]
) -> None:
    events = [ended(attempt, outcome, late) for attempt, outcome, late in attempts]
    documents = tallied(*events, *(("run.ended", {"status": status}) for status in runs))
    late = [value for document in documents for value in document.get("Lateness", [])]
    assert late == [late for attempt, _, late in attempts if attempt == 1]
    for name, dimension, expected in (
        ("Attempts", "outcome", [one[1] for one in attempts if one[1] != "success"]),
        ("Runs", "status", runs),
    ):
        counted = {
            document[dimension]: document[name] for document in documents if name in document
        }
        assert counted == {value: expected.count(value) for value in set(expected)}
    assert sum(document.get("Retries", 0) for document in documents) == sum(
        attempt > 1 for attempt, _, _ in attempts
    )


def test_a_document_says_what_powertools_would_say() -> None:
    events = [
        ended(),
        ended(2, "timeout"),
        ("run.ended", {"status": "failed"}),
        ("sweep.failed", {}),
        ("job.overdue", {}),
    ]
    for document in tallied(*events):
        for directive in document["_aws"]["CloudWatchMetrics"]:
            provider = AmazonCloudWatchEMFProvider(namespace="Resona")
            first, *others = directive["Dimensions"]
            for name in first:
                provider.add_dimension(name, document[name])
            for dimensions in others:
                provider.add_dimensions(**{name: document[name] for name in dimensions})
            for metric in directive["Metrics"]:
                values = document[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    provider.add_metric(metric["Name"], metric["Unit"], value)
            theirs: Any = provider.serialize_metric_set()
            assert theirs["_aws"]["CloudWatchMetrics"] == [directive]
            for name in theirs.keys() - {"_aws"}:
                ours = document[name]
                assert theirs[name] == (ours if isinstance(ours, str | list) else [ours])


def test_every_metric_is_documented_with_its_dimensions() -> None:
    rows = dict(
        re.findall(
            r"^\| `(\w+)` \| (\w+ \| [^|]+) \|", DOCS.partition("## Metrics")[2], re.MULTILINE
        )
    )
    assert rows == {
        name: (
            f"{unit} | "
            f"{'; '.join(', '.join(f'`{one}`' for one in dimensions) for dimensions in kept)}"
        )
        for name, (unit, kept) in METRICS.items()
    }


def test_there_are_as_many_metrics_as_documented_and_none_for_each_job_or_tenant() -> None:
    """Each combination of values is one, and is paid for."""
    ends = {RunStatus.FAILED, RunStatus.MISSED, RunStatus.SKIPPED}
    values = {"stage": 1, "outcome": len(Outcome) - 1, "status": len(ends), "function": 5}
    kept = [dimensions for _, sets in METRICS.values() for dimensions in sets]
    assert (
        f"A stage has at most {sum(math.prod(values[name] for name in one) for one in kept)} "
        "metrics."
    ) in DOCS
