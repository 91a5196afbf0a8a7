"""`kill -9` at random moments under load: what was acknowledged holds, and fires.

With RESONA_SOAK 50 moments, else one of each kind.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.clients import Client
from tests.acceptance.laptop import Laptop
from tests.acceptance.ledger import judge
from tests.acceptance.receivers import Receiver

# One laptop for all of them.
pytestmark = [
    pytest.mark.xdist_group("test_kill"),
    pytest.mark.laptop("it kills the processes of a laptop of its own"),
]

IS_SOAK = bool(os.environ.get("RESONA_SOAK"))
SEED = 20261124
CLIENTS = 6
MOMENTS = 50 if IS_SOAK else 3
LONGEST_LOAD_SECONDS = 4.0 if IS_SOAK else 1.5
# An attempt that was out has its timeout of 2 s, 20 s to be recorded and 10 s for clocks that
# differ; what was committed and not armed is overdue 30 s after its time, at most 3 s away.
QUIET_SECONDS = 34
KINDS = {
    "the API": {"api": True, "emulator": False},
    "the emulator": {"api": False, "emulator": True},
    "both": {},
}


@pytest.fixture
def own_laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path)
    yield made
    made.close()


def test_nothing_acknowledged_is_lost_when_processes_are_killed_under_load(
    own_laptop: Laptop, receiver: Receiver
) -> None:
    print(f"seed {SEED}, {MOMENTS} moments")
    chance = random.Random(SEED)
    kinds = chance.sample(sorted(KINDS), 3) + [
        chance.choice(sorted(KINDS)) for _ in range(MOMENTS - 3)
    ]
    receiver.answers_after = 0.1
    clients = [Client(f"client-{number}", SEED, own_laptop, receiver) for number in range(CLIENTS)]
    own_laptop.start()
    for kind in kinds:
        killed_at = _load_and_kill(
            own_laptop, clients, kind, chance.uniform(0.5, LONGEST_LOAD_SECONDS)
        )
        # At once: who served from the folder before may be about to end.
        own_laptop.start()
        with ThreadPoolExecutor(CLIENTS) as threads:
            list(threads.map(Client.recover, clients, [killed_at] * CLIENTS))
    time.sleep(
        max(0, (killed_at + timedelta(seconds=QUIET_SECONDS) - datetime.now(UTC)).total_seconds())
    )
    # The sweeper looks for what is overdue at every start, and so nobody waits for its next minute
    # here.
    assert own_laptop.interrupt(everybody=True) == 0
    own_laptop.start()
    outcome = judge(
        [entry for client in clients for entry in client.entries],
        own_laptop,
        receiver,
        60 if IS_SOAK else 20,
    )
    ages = sorted(age for client in clients for age in client.checked)
    outcome.counts["changes acknowledged"] = sum(client.changes for client in clients)
    outcome.counts["acknowledged less than 1 s before a kill, and there after it"] = sum(
        age < timedelta(seconds=1) for age in ages
    )
    outcome.counts["acknowledged less than 0.1 s before a kill, and there after it"] = sum(
        age < timedelta(seconds=0.1) for age in ages
    )
    print("\n".join(f"{count:6} {what}" for what, count in sorted(outcome.counts.items())))
    assert [*outcome.wrong, *(sentence for client in clients for sentence in client.wrong)] == []
    assert outcome.counts["jobs fired"] and outcome.counts["manual runs fired"] and ages


def _load_and_kill(laptop: Laptop, clients: list[Client], kind: str, seconds: float) -> datetime:
    """Let the clients work for so many seconds, then kill the processes that `kind` names.

    Return the time just before the kill. Fails if a request failed before it.
    """
    stopped = threading.Event()
    with ThreadPoolExecutor(len(clients)) as threads:
        working = [threads.submit(client.work, stopped) for client in clients]
        time.sleep(seconds)
        killed_at = datetime.now(UTC)
        laptop.kill(**KINDS[kind])
        if kind == "the emulator":
            assert laptop.ended() == 1
        stopped.set()
    for work in working:
        work.result()
    too_early = [
        client.failed_at
        for client in clients
        if client.failed_at is not None and client.failed_at < killed_at
    ]
    assert not too_early, f"a request failed while nothing was killed: {too_early}\n{laptop.log()}"
    return killed_at
