"""What a laptop refuses to start with."""

from __future__ import annotations

import pytest

from infra.local.access import refuse_topics


def test_a_laptop_does_not_start_with_topics_to_which_it_cannot_publish() -> None:
    refuse_topics({"RESONA_NOTICE_TOPICS": ""})
    with pytest.raises(SystemExit, match="unset RESONA_NOTICE_TOPICS"):
        refuse_topics({"RESONA_NOTICE_TOPICS": "arn:aws:sns:eu-central-1:123456789012:a"})
