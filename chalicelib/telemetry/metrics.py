"""Metrics, counted from the events of an invocation and written in CloudWatch's embedded metric
format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

No dimension is as many as jobs or tenants are: each combination of values is a metric, and is paid
for as one.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from chalicelib.telemetry.lines import EVENTS, is_event, is_told

log = logging.getLogger(EVENTS)

NAMESPACE = "Resona"
# Metric → its unit, and the sets of dimensions it is kept under.
METRICS: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "Lateness": ("Milliseconds", (("stage",),)),
    "Due": ("Count", (("stage",),)),
    "Retries": ("Count", (("stage",),)),
    "Overdue": ("Count", (("stage",),)),
    "Attempts": ("Count", (("stage",), ("stage", "outcome"))),
    "Runs": ("Count", (("stage", "status"),)),
    "Failures": ("Count", (("stage", "function"),)),
}
# The most values that one document may have of a metric.
_MOST_VALUES = 100


class Tally(logging.Handler):
    """Count what events come to.

    Threads may log side by side: a handler's lock has one record counted after the other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        """Begin at nothing, for the next invocation."""
        self._counts: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()
        self._runs: Counter[str] = Counter()
        self._lateness: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Count one event. Never raises: whoever logs one is in the middle of a firing."""
        try:
            self._count(record)
        except Exception:
            # Whatever is wrong with a count: no firing fails for it.
            log.exception("metrics.failed")

    def _count(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR and not (
            record.exc_info and is_told(record.exc_info[1])
        ):
            self._counts["Failures"] += 1
        if not is_event(record):
            return
        fields = vars(record)
        match record.msg:
            case "attempt.ended" | "attempt.unknown":
                self._attempt(fields, fields.get("lateness_ms"))
            case "attempt.abandoned":
                self._counts["Due"] += _is_first(fields)
            case "run.ended":
                self._runs[str(fields["status"])] += 1
                self._counts["Due"] += fields.get("occurrences") or 0
            case "job.overdue" | "sweep.failed":
                self._counts["Overdue"] += 1
            case "sweep.ended":
                # None was overdue: that is a value, and no value is none.
                self._counts["Overdue"] += 0

    def _attempt(self, fields: dict[str, Any], lateness_ms: int | None) -> None:
        self._attempts[str(fields["outcome"])] += 1
        self._counts["Retries"] += fields["attempt"] > 1
        self._counts["Due"] += _is_first(fields)
        if _is_first(fields) and lateness_ms is not None:
            self._lateness.append(lateness_ms)

    def documents(self, stage: str, function: str, at_ms: int) -> list[dict[str, Any]]:
        """Return what was counted: one document for all of it, and others only for a second outcome
        or status. `at_ms` is epoch time.
        """
        counts = {
            name: number for name, number in self._counts.items() if number or name == "Overdue"
        }
        late = [
            self._lateness[start : start + _MOST_VALUES]
            for start in range(0, len(self._lateness), _MOST_VALUES)
        ]
        attempts, runs = list(self._attempts.items()), list(self._runs.items())
        documents = []
        for number in range(max(len(late), len(attempts), len(runs), min(1, len(counts)))):
            values: dict[str, Any] = dict(counts) if number == 0 else {}
            dimensions = {"stage": stage}
            if "Failures" in values:
                dimensions["function"] = function
            if number < len(late):
                values["Lateness"] = late[number]
            if number < len(attempts):
                dimensions["outcome"], values["Attempts"] = attempts[number]
            if number < len(runs):
                dimensions["status"], values["Runs"] = runs[number]
            documents.append(_document(dimensions, values, at_ms))
        return documents


def _is_first(fields: dict[str, Any]) -> bool:
    """Say whether an attempt is the first of a run that a schedule caused."""
    return fields["attempt"] == 1 and not fields.get("manual")


def _document(dimensions: dict[str, str], values: dict[str, Any], at_ms: int) -> dict[str, Any]:
    """Return one document: a directive for every group of metrics that are kept under the same
    dimensions.
    """
    groups: dict[tuple[tuple[str, ...], ...], list[dict[str, str]]] = {}
    for name in values:
        unit, kept_under = METRICS[name]
        groups.setdefault(kept_under, []).append({"Name": name, "Unit": unit})
    directives = [
        {
            "Namespace": NAMESPACE,
            "Dimensions": [list(one) for one in kept_under],
            "Metrics": metrics,
        }
        for kept_under, metrics in groups.items()
    ]
    return {"_aws": {"Timestamp": at_ms, "CloudWatchMetrics": directives}, **dimensions, **values}
