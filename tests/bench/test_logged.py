"""What a firing may write."""

from __future__ import annotations

from tests.bench.logged import measured


def test_a_firing_writes_two_events_and_one_document_of_at_most_1_250_bytes() -> None:
    found = measured()
    alone, shared = found["a firing, in a batch of one"], found["a firing, one of a batch of 10"]
    assert alone.lines == 3
    assert alone.events + alone.metrics <= 1_250
    assert shared.events + shared.metrics <= 800
    wake = found["the wake of a schedule"]
    assert (wake.lines, wake.events, wake.metrics) == (0, 0, 0)
