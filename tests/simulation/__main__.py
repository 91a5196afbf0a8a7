"""Replay a life: `python -m tests.simulation replay 1234`, or `replay a_retry 17=KILL_AFTER`; the timeline is printed."""

from __future__ import annotations

import sys

from tests.simulation.faults import Fault
from tests.simulation.scenarios import SCRIPTS, play
from tests.simulation.simulation import live


def replay(what: str, chosen: list[str]) -> int:
    """Print a life's timeline and how it ended. Return 1 when a promise was broken."""
    if what.isdigit():
        life = live(int(what), is_verbose=True)
    else:
        script = next(script for script in SCRIPTS if script.__name__ == what)
        faults = {int(number): Fault[name] for number, _, name in (one.partition("=") for one in chosen)}
        life, _ = play(script, faults, is_verbose=True)
    print(*life.trace, sep="\n")
    print(f"{life.calls} calls, {life.faults} faults, {life.sent} requests sent; {life.violation or 'every promise was kept'}")
    return 1 if life.violation else 0


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] != "replay":
        sys.exit(__doc__)
    sys.exit(replay(sys.argv[2], sys.argv[3:]))
