"""The texts that a laptop prints for the events of the log."""

from __future__ import annotations

GREEN, RED, YELLOW, DIM = "32", "31", "33", "2"

# Event → its mark, its colour and its text, a template of the event's fields. Events that belong to
# an attempt get their text from `_of_attempt`.
WORDS: dict[str, tuple[str, str, str]] = {
    "job.created": ("+", DIM, "created"),
    "job.changed": ("·", DIM, "changed"),
    "job.paused": ("·", DIM, "paused"),
    "job.resumed": ("·", DIM, "resumed"),
    "job.deleted": ("-", DIM, "deleted"),
    "run.queued": ("·", DIM, "asked to run now"),
    "run.extended": ("·", DIM, "has more time to call back"),
    "notice.created": ("·", DIM, "its {event} is told by the notice {notice_id}"),
    "notice.extended": ("·", DIM, "its {event} is told by the notice {notice_id}, too"),
    "channel.put": ("·", DIM, "a channel was put"),
    "channel.deleted": ("·", DIM, "a channel was deleted"),
    "backfill.begun": ("·", DIM, "asked to run for past occurrences"),
    "backfill.ended": ("·", DIM, "runs for no more past occurrences"),
    "calendar.put": ("·", DIM, "a calendar was put"),
    "calendar.deleted": ("·", DIM, "a calendar was deleted"),
    "flow.put": ("·", DIM, "a flow was put"),
    "flow.deleted": ("·", DIM, "a flow was deleted"),
    "flow.opened": ("!", RED, "the flow {flow} stops, as its target kept failing"),
    "flow.closed": ("·", DIM, "the flow {flow} goes on, as its target works again"),
    "secret.put": ("·", DIM, "a secret was put"),
    "secret.deleted": ("·", DIM, "a secret was deleted"),
    "signing_secret.rotated": ("·", DIM, "the signing secret was rotated"),
    "key.refused": ("!", YELLOW, "a call was refused: its key {key_id} is {status}"),
    "request.failed": ("!", RED, "a call failed in Resona itself"),
    "request.unavailable": ("!", YELLOW, "a call was not answered"),
    "attempt.abandoned": (
        "!",
        YELLOW,
        "not sent, since too little time was left; it will be tried again",
    ),
    "attempt.unknown": (
        "!",
        YELLOW,
        "an attempt was lost with its process, and nobody knows whether it was sent",
    ),
    "exchange.failed": ("!", RED, "sending failed in Resona itself"),
    "message.send_failed": ("!", YELLOW, "could not be queued; it will be within a minute"),
    "schedule.create_failed": ("!", YELLOW, "could not be scheduled; it will be within a minute"),
    "job.overdue": ("!", YELLOW, "came due unnoticed and runs now"),
    "sweep.failed": ("!", RED, "is overdue and could not be queued"),
    "message.failed": ("!", RED, "could not be run; it will be tried again"),
    "message.invalid": ("!", RED, "a message that is none of Resona's was dropped"),
    "invocation.failed": ("!", RED, "Resona itself failed"),
}
# Events that a laptop does not print: nothing changed, or another line reports it.
UNSHOWN = frozenset(
    "message.ignored schedule.orphan_deleted message.mark_failed schedule.delete_failed job.armed "
    "sweep.ended attempt.ended run.held line.failed flow.failed attempt.completed library.warned "
    "log_line.failed metrics.failed".split()
)
OF_RUN = frozenset({"run.ended", "run.retrying", "run.waiting"})
SHOWN = frozenset(WORDS) | OF_RUN
