"""The invariants hold in every state that a small model can reach."""

from __future__ import annotations

import os

import pytest

from chalicelib.domain.job import Overlap
from tests.domain.model import Model, check

NODES = 1_000_000 if os.environ.get("RESONA_SOAK") else 2_500


@pytest.mark.parametrize("overlap", list(Overlap))
@pytest.mark.parametrize("kind", ["one-time", "cron"])
def test_the_invariants_hold_whatever_happens_in_whatever_order(
    kind: str, overlap: Overlap
) -> None:
    names = set()
    events = 0
    for event in Model(kind, overlap).explore(NODES):
        check(event)
        names.add(event.name)
        events += 1
    assert names >= {
        "time",
        "claim",
        "finish",
        "settle",
        "late finish",
        "sweep",
        "pause",
        "resume",
        "request",
        "trigger",
        "run",
        "retry",
        "cancel",
        "delete",
    }
    assert events > 5_000
