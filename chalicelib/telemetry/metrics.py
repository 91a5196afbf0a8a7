"""Count metrics from the events of an invocation, in CloudWatch's embedded metric format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

No dimension contains a job or a tenant: CloudWatch bills each combination of values as a metric.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from chalicelib.telemetry.lines import EVENTS, is_event, is_logged

log = logging.getLogger(EVENTS)

NAMESPACE = "Resona"
# Metric → its unit, and its sets of dimensions.
METRICS: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "Lateness": ("Milliseconds", (("stage",),)),
    "Retries": ("Count", (("stage",),)),
    "Overdue": ("Count", (("stage",),)),
    "Unsent": ("Count", (("stage",),)),
    "Attempts": ("Count", (("stage", "outcome"),)),
    "Runs": ("Count", (("stage", "status"),)),
    "Failures": ("Count", (("stage", "function"),)),
}
# Not counted, because `Lateness` has a value for each run that was sent: $0.30 a month for each.
_ORDINARY = frozenset({"succeeded", "success"})
# CloudWatch's limit of values of one metric in a document.
_MOST_VALUES = 100


class Tally(logging.Handler):
    """A log handler that counts events.

    Several threads may log: the handler's lock serializes them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        """Reset all counts for the next invocation."""
        self._counts: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()
        self._runs: Counter[str] = Counter()
        self._lateness: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Count one event. Never raises, because the caller is in the middle of a firing."""
        try:
            self._count(record)
        except Exception:
            # A defect in counting must not fail the firing.
            log.exception("metrics.failed")

    def _count(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR and not (
            record.exc_info and is_logged(record.exc_info[1])
        ):
            self._counts["Failures"] += 1
        if not is_event(record):
            return
        fields = vars(record)
        match record.msg:
            case "attempt.ended" | "attempt.unknown":
                self._attempt(fields, fields.get("lateness_ms"))
            case "run.ended":
                if fields["status"] not in _ORDINARY:
                    self._runs[str(fields["status"])] += 1
                self._counts["Unsent"] += fields.get("occurrences") or 0
            case "job.overdue" | "sweep.failed":
                self._counts["Overdue"] += 1
            case "sweep.ended":
                # Write 0 if no job was overdue, so that the metric has a value each minute.
                self._counts["Overdue"] += 0

    def _attempt(self, fields: dict[str, Any], lateness_ms: int | None) -> None:
        if fields["outcome"] not in _ORDINARY:
            self._attempts[str(fields["outcome"])] += 1
        self._counts["Retries"] += fields["attempt"] > 1
        if fields["attempt"] == 1 and not fields.get("manual") and lateness_ms is not None:
            self._lateness.append(lateness_ms)

    def documents(self, stage: str, function: str, at_ms: int) -> list[dict[str, Any]]:
        """Return the counts as documents. `at_ms` is epoch time in milliseconds.

        One document holds one outcome, one status and 100 values of lateness; further ones need
        further documents.
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


def _document(dimensions: dict[str, str], values: dict[str, Any], at_ms: int) -> dict[str, Any]:
    """Return one document, with a directive for each set of dimensions."""
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
