"""Messages for chats: they fit, and nothing in them notifies anyone."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.domain.slack import LONGEST, headline, message, quoted
from tests.domain.test_notices import JOB, told

# What notifies or links in Slack (documented forms), and in Mattermost and Discord.
MENTIONS = re.compile(r"<[!@#][^>]*>|@(?!\u200b)|<https?:")


@pytest.mark.parametrize(
    "text",
    [
        "<!channel>",
        "<!here|here> & <@U012AB3CD> <#C123>",
        "@everyone @here @channel @all",
        "<@&1234> <https://example.com|click>",
        "```@everyone``` <!channel>",
    ],
)
def test_no_foreign_text_notifies_anybody(text: str) -> None:
    job = replace(JOB, name=text, request=replace(JOB.request, url=f"https://example.com/{text}"))
    response = Response({}, text, truncated=False)
    last = told(job, 1, response).run.attempts[-1]
    made = message(headline(text, "failed"), job, last, response, "run_x")["text"]
    assert not MENTIONS.search(made)
    assert made.count("```") == 2
    assert made.replace("\u200b", "").count("everyone") == 3 * text.count("everyone")


@pytest.mark.parametrize("sign", ["a", "&", "@", "`", "\U0001f600"])
def test_the_longest_message_is_taken_by_discord(sign: str) -> None:
    job = replace(
        JOB, name=sign * 200, request=replace(JOB.request, url="https://example.com/" + "&" * 2_028)
    )
    response = Response({}, sign * 16_384, truncated=True)
    error = AttemptResult(Outcome.TIMEOUT, timedelta(0), error="<" * 500)
    last = replace(told(job, 1, response).run.attempts[-1], result=error)
    first = headline(job.name, "failed " + "x" * 100)
    made = message(first, job, last, response, "run_" + "x" * 60)["text"]
    assert LONGEST - 10 < len(made.encode("utf-16-le")) // 2 <= LONGEST
    assert made.endswith("…\n```")


def test_a_text_is_cut_between_characters() -> None:
    assert quoted("a&b", 8) == "a&amp;b"
    assert quoted("a&b", 5) == "a…"
    assert quoted("", 1) == ""
