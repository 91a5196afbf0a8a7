"""How often, and how soon again, a change is decided anew when others write the same job between
its read and its write.
"""

from __future__ import annotations

import random
from collections.abc import Callable

# Some four seconds in all.
TRIES = 20
_LONGEST_PAUSE_SECONDS = 0.4


def pause_after(tries: int, sleep: Callable[[float], None]) -> None:
    """Wait before the next try, longer after each, so that everybody who writes the job gets
    through. `tries` counts from 1.
    """
    sleep(random.uniform(0, min(_LONGEST_PAUSE_SECONDS, 0.01 * 2**tries)))
