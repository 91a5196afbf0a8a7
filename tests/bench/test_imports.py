"""What a cold start imports stays near what it cannot do without; the bench measures it with less
to spare.
"""

from __future__ import annotations

import pytest

from tests.bench.imports import RATIOS, Ratio, measured

# Others run beside this, and few rounds say little: far from what is wrong, and near enough to see
# a library too many.
MORE = 1.3
ROUNDS = 3


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda ratio: ratio.ours)
def test_imports_cost_little_more_than_what_cannot_be_done_without(ratio: Ratio) -> None:
    times = ratio.of(measured(ROUNDS, (ratio.ours, ratio.base)))
    assert times <= ratio.allowed * MORE
