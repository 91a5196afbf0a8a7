"""Messages for topics of Amazon SNS, which mails them: a subject, and plain text for a person.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html has the limits: a subject of less than
100 characters without control characters, and a message of 256 KiB. Subjects are ASCII, which SNS
required before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unicodedata import combining, normalize

from chalicelib.domain.ids import run_id
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.notices import LONGEST_BODY, Told

LONGEST_SUBJECT = 99
_CUT = "..."


def message(what: str, sentence: str, told: Told, channel: str) -> dict[str, str]:
    """Return the parameters of SNS's Publish for a notice.

    `what` says in a few words what happened to the job or the flow, `sentence` says it whole; both
    follow its name.
    """
    name = printable(told.name)
    facts = "\n".join(f"{label:<9}{text}" for label, text in _facts(told))
    answer = "".join(f"\n> {line}" for line in _answer(told))
    job = f"/jobs/{told.job.id}"
    run = f"{job}/runs/{run_id(told.job.id, told.run.key)}"
    parts = [
        f"{name} {sentence}.",
        facts,
        *([f"The answer began:\n{answer}"] if answer else []),
        f"At your stage's URL:\n\nConsole  /console#{run}\nRun      {run}\nJob      {job}",
        f"Resona sent this to its channel {channel}.",
    ]
    return {"Subject": _subject(name, what), "Message": "\n\n".join(parts) + "\n"}


def paragraph(sentence: str, told: Told) -> str:
    """Return an event as a part of a digest: a sentence, the last status or error, the run."""
    last = told.run.attempts[-1].result if told.run.attempts else None
    code = last.status_code if last else None
    end = (
        f", status {code}" if code else f": {printable(last.error)}" if last and last.error else ""
    )
    run = f"/jobs/{told.job.id}/runs/{run_id(told.job.id, told.run.key)}"
    return f"{printable(told.name)} {sentence}{end}\n  {run}"


def digest(summary: str, paragraphs: Sequence[str], total: int, channel: str) -> dict[str, str]:
    """Return the parameters of SNS's Publish for the digest of `total` events."""
    left = total - len(paragraphs)
    more = [f"And {left} more."] if left else []
    end = f"Resona sent this to its channel {channel}.\n"
    text = "\n\n".join([f"{summary}.", *paragraphs, *more, end])
    return {"Subject": f"Resona: {total} events for {channel}", "Message": text}


def trial(channel: str) -> dict[str, str]:
    """Return the parameters of SNS's Publish for a test of a channel."""
    text = f"This is a test of Resona's channel {channel}: its notices arrive here.\n"
    return {"Subject": f"Resona: a test of {channel}", "Message": text}


def _facts(told: Told) -> Iterator[tuple[str, str]]:
    job, run = told.job, told.run
    if told.flow is not None:
        yield "Job", printable(job.name)
    yield "Request", f"{job.request.method} {printable(job.request.url)}"
    yield "Due", format_instant(run.key.due_at)
    count = len(run.attempts)
    after = f", after {count} attempts" if count > 1 else ""
    yield "Ended", f"{format_measured(told.at)}{after}"
    if run.attempts:
        last = run.attempts[-1].result
        if last.status_code is not None:
            yield "Status", str(last.status_code)
        if last.error:
            yield "Error", printable(last.error)
    if job.labels:
        yield "Labels", ", ".join(printable(f"{key}:{value}") for key, value in job.labels.items())


def _answer(told: Told) -> Iterator[str]:
    """Yield the lines of the beginning of the target's answer; none if it is not text."""
    response = told.response
    if response is None or response.encoding:
        return
    kept = response.body[:LONGEST_BODY]
    yield from map(printable, kept.splitlines())
    if kept and (response.truncated or len(response.body) > LONGEST_BODY):
        yield "…"


def _subject(name: str, what: str) -> str:
    letters = (sign for sign in normalize("NFKD", name) if not combining(sign))
    plain = "".join(letters).encode("ascii", "replace").decode("ascii")
    begin, end = "Resona: ", f" {what}"
    left = LONGEST_SUBJECT - len(begin) - len(end)
    return begin + (plain if len(plain) <= left else plain[: left - len(_CUT)] + _CUT) + end


def printable(text: str) -> str:
    """Return a foreign text on one line: a space in place of each character that is not printed."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
