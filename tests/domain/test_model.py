"""The invariants hold in every state that a small model can reach."""

from __future__ import annotations

import os

import pytest

from chalicelib.domain.job import Overlap
from tests.domain.model import PAUSES, Model, check

NODES = 1_000_000 if os.environ.get("RESONA_SOAK") else 2_200


ALWAYS = set("time claim finish settle sweep pause resume request trigger run delete".split())
ALWAYS |= {"late finish", "retry", "cancel"}


@pytest.mark.parametrize(
    ("kind", "overlap", "also"),
    [
        *(("one-time", overlap, set[str]()) for overlap in Overlap),
        *(("cron", overlap, set[str]()) for overlap in Overlap),
        ("backfill", Overlap.ALLOW, {"backfill", "end of backfill"}),
    ],
)
def test_the_invariants_hold_whatever_happens_in_whatever_order(
    kind: str, overlap: Overlap, also: set[str]
) -> None:
    names = set()
    events = 0
    for event in Model(kind, overlap).explore(NODES):
        check(event)
        names.add(event.name)
        events += 1
    assert names >= ALWAYS | also
    assert events > 5_000


@pytest.mark.parametrize("kind", ["one-time", "cron"])
def test_the_invariants_hold_with_pauses_that_end_and_skips(kind: str) -> None:
    """A pause that has ended is followed by every rule, and ended by every one."""
    ended = set()
    for event in Model(kind, Overlap.ALLOW, users=PAUSES).explore(NODES // 5):
        check(event)
        before, after = event.before.state, event.after.state
        if before is not None and before.paused_until and after is not None and not after.pause:
            ended.add(event.name)
    assert ended == {"claim", "resume", "request"}
