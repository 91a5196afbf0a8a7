"""Read what a batch of messages needs in a few calls, instead of a few calls for each message.

It is read once, in the invocation that handles the batch, and forgotten with it: a secret that was
put or rotated before is used.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from chalicelib.aws.job_store import JobStore
from chalicelib.domain import run_transitions
from chalicelib.domain.admission import Place
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.flows import Flow
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.state import DueMessage, State
from chalicelib.usecases.attempt import AttemptSender, PreparedAttempt
from chalicelib.usecases.attempt import prepared as prepare
from chalicelib.usecases.fairness import Fairness, Turn

# The id of a job and the key of one of its runs.
RunName = tuple[str, RunKey]


@dataclass(frozen=True, slots=True)
class Alike:
    """Runs that need places of the same flow at the same time. `taken` is empty until these are
    taken, then has the places of runs, or none if they could not be taken.
    """

    flow: Flow
    at: datetime
    runs: Sequence[RunName]
    taken: list[Mapping[RunName, Place]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ahead:
    """The jobs of a batch, and the attempts that are prepared, by the ids of jobs. `turn` is the
    invocation, if executors are shared.

    `alike` are runs that take their places together, for each of them. What is missing here is read
    for its message alone.
    """

    jobs: Mapping[str, tuple[Definition, State]] = field(default_factory=dict)
    prepared: Mapping[str, PreparedAttempt] = field(default_factory=dict)
    alike: Mapping[RunName, Alike] = field(default_factory=dict)
    turn: Turn | None = None


NOTHING = Ahead()


def read_ahead(
    jobs: JobStore,
    sender: AttemptSender,
    fairness: Fairness,
    dues: Sequence[DueMessage],
    now: datetime,
) -> Ahead:
    """Read the jobs of these messages in one call, and secrets once for each tenant and names.

    Never raises Unavailable, and does not try again for long: it holds all messages up.
    """
    turn = fairness.enter(dues)
    if len(dues) < 2:
        return Ahead(turn=turn)
    found: dict[str, tuple[Definition, State]] = {}
    prepared: dict[str, PreparedAttempt] = {}
    with contextlib.suppress(Unavailable):
        pairs = jobs.pairs({due.job_id: due for due in dues})
        found |= {definition.id: (definition, state) for definition, state in pairs}
        for (tenant, names), definitions in _alike(found, sender, dues, now).items():
            fairness.await_others(turn, min(due.at for due in dues))
            with contextlib.suppress(Unavailable):
                read = sender.secrets.unsealed(tenant, names, now)
                prepared |= {one.id: prepare(one, read) for one in definitions}
                fairness.ask(turn, definitions[0], prepared[definitions[0].id].tickets)
    return Ahead(found, prepared, turn=turn)


def _alike(
    found: Mapping[str, tuple[Definition, State]],
    sender: AttemptSender,
    dues: Sequence[DueMessage],
    now: datetime,
) -> dict[tuple[str, frozenset[str]], list[Definition]]:
    """Return the jobs to be sent of which several have the same tenant and names of secrets."""
    alike: defaultdict[tuple[str, frozenset[str]], list[Definition]] = defaultdict(list)
    for due in dues:
        pair = found.get(due.job_id)
        if pair is not None and run_transitions.leads_to_attempt(*pair, due, now):
            alike[pair[0].tenant, sender.names_of(pair[0])].append(pair[0])
    return {key: definitions for key, definitions in alike.items() if len(definitions) > 1}
