"""Messages for Slack, and for Mattermost and Discord, whose `/slack` webhooks take the same body.

The limits and the escaping are the strictest of the three:

* Discord takes 2,000 characters (https://discord.com/developers/docs/resources/webhook), Slack
  40,000 and Mattermost 16,383.
* `&`, `<` and `>` are escaped as https://docs.slack.dev/messaging/formatting-message-text says, so
  `<!channel>` is text. Mattermost and Discord also notify by a plain `@channel` or `@everyone`: an
  invisible character after each `@` keeps it from being a mention.
"""

from __future__ import annotations

from collections.abc import Iterable

from chalicelib.domain.job import Definition
from chalicelib.domain.run import Attempt, Response

LONGEST = 2_000
_LONGEST_NAME, _LONGEST_URL = 100, 200
_SHORT_NAME, _SHORT_ERROR = 40, 40
_ZERO_WIDTH_SPACE = "\u200b"
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "@": f"@{_ZERO_WIDTH_SPACE}",
    "`": f"`{_ZERO_WIDTH_SPACE}",
}
_CUT = "…"


def headline(name: str, sentence: str) -> str:
    """Return a name in bold, and a sentence of Resona's about it."""
    return f"*{quoted(name, 6 * _LONGEST_NAME)}* {sentence}"


def message(
    text: str, job: Definition | None, last: Attempt | None, response: Response | None, run: str
) -> dict[str, str]:
    """Return the body of a message about a job; `text` is its headline.

    `run` is the run's id. The answer's body is cut so that all of it fits.
    """
    lines = [text]
    if job is not None:
        url = quoted(job.request.url[:_LONGEST_URL], 5 * _LONGEST_URL // 2)
        lines.append(f"{job.request.method} {url}{_answered(last)}")
    lines += [run] if run else []
    text = "\n".join(lines)
    if response is not None and response.body and not response.encoding:
        frame = "\n```\n", "\n```"
        left = LONGEST - _length(text) - sum(map(len, frame))
        text += frame[0] + quoted(response.body, left) + frame[1]
    return {"text": text}


def line(name: str, sentence: str, last: Attempt | None) -> str:
    """Return what `message` says of a job, in a line: 20 of them usually fit into a message."""
    return f"*{quoted(name, _SHORT_NAME)}* {sentence}{_answered(last, _SHORT_ERROR)}"


def listed(summary: str, lines: Iterable[str], total: int) -> dict[str, str]:
    """Return the body of a message with as many of the lines as fit, and how many are left out of
    `total`.
    """
    text, left = summary, total
    for one in lines:
        longer = f"{text}\n• {one}"
        if _length(longer) > LONGEST - len(f"\nand {total} more"):
            break
        text, left = longer, left - 1
    return {"text": text + (f"\nand {left} more" if left else "")}


def _answered(last: Attempt | None, most: int = 300) -> str:
    if last is None:
        return ""
    code = last.result.status_code
    return f" answered {code}" if code else f": {quoted(last.result.error or '', most)}"


def quoted(text: str, most: int) -> str:
    """Return a foreign text with nothing in it that formats or notifies, cut to `most` units.

    A unit is one of UTF-16, in which JavaScript counts.
    """
    made, left = list[str](), most - len(_CUT)
    for sign in text:
        escaped = _ESCAPES.get(sign, sign)
        left -= _length(escaped)
        if left < 0:
            return "".join(made) + _CUT
        made.append(escaped)
    return "".join(made)


def _length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
