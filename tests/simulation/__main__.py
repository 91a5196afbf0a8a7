"""Replay a run of the simulation, or go on with the long exploration.

python -m tests.simulation replay 1234                      a seed, with its timeline
python -m tests.simulation replay 1234 shared               with few executors, which are shared
python -m tests.simulation replay a_retry 17=KILL_AFTER     a script, with faults at calls
python -m tests.simulation soak [seconds] [seeds]           what `soak.json` has not seen yet
    python -m tests.simulation bugs [name ...]                  planted bugs, and what catches each
"""

from __future__ import annotations

import sys

from tests.simulation.bugs import hunt, hunt_all
from tests.simulation.faults import Fault
from tests.simulation.scenarios import SCRIPTS, play
from tests.simulation.simulation import simulate
from tests.simulation.soak import SEEDS, soak


def replay(what: str, chosen: list[str]) -> int:
    """Print a run's timeline and how it ended. Return 1 when a promise was broken."""
    if what.isdigit():
        run = simulate(int(what), is_verbose=True, is_shared=chosen == ["shared"])
    else:
        script = next(script for script in SCRIPTS if script.__name__ == what)
        faults = {
            int(number): Fault[name] for number, _, name in (one.partition("=") for one in chosen)
        }
        run, _ = play(script, faults, is_verbose=True)
    print(*run.trace, sep="\n")
    print(
        f"{run.calls} calls, {run.faults} faults, {run.sent} requests sent; "
        f"{run.violation or 'every promise was kept'}"
    )
    return 1 if run.violation else 0


def explore(seconds: float, seeds: int) -> int:
    """Go on with the long exploration, and print what it has come to.

    Return 1 when a promise was broken.
    """
    done = soak(seconds, seeds)
    print(
        (
            f"{done.pairs} pairs of faults and {done.seeds} seeds in {done.seconds:.0f} s: "
            f"{done.calls} calls, {done.faults} faults, "
        ),
        end="",
    )
    print(
        f"{done.kills} kills, {done.sent} requests sent, {len(done.violations)} violations",
        *done.violations,
        sep="\n",
    )
    return 1 if done.violations else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["replay", what, *chosen]:
            sys.exit(replay(what, chosen))
        case ["soak", *limits]:
            sys.exit(
                explore(
                    float(limits[0]) if limits else float("inf"),
                    int(limits[1]) if len(limits) > 1 else SEEDS,
                )
            )
        case ["hunt"]:
            caught = hunt()
            print(caught or "")
            sys.exit(1 if caught else 0)
        case ["bugs", *names]:
            sys.exit(min(1, hunt_all(names)))
        case _:
            sys.exit(__doc__)
