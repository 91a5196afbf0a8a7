"""Read attacks.json: hostile requests, and whether each is refused, blocked or sent.

Long runs are written as `{"pieces": ["text", ["x", 16384]]}`, and objects with such names as
`{"pairs": [[name, value]]}`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any


def load(kind: str) -> list[Any]:
    """Return the attacks of one kind: urls, dns, headers, methods, bodies, documents, servers."""
    return list(_corpus()[kind])


def timeout(attack: dict[str, Any], usual: timedelta) -> timedelta:
    """Return the timeout for a server: the usual one where it is to end the exchange, and time to
    read all that it sends elsewhere.

    A megabyte of one-byte chunks takes a loaded machine, and a tracer of coverage, more than a
    moment.
    """
    return usual if attack["outcome"] == "timeout" else max(usual, timedelta(seconds=10))


@cache
def _corpus() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(
        (Path(__file__).parent / "attacks.json").read_text(), object_hook=unfold
    )
    return read


def unfold(found: dict[str, Any]) -> Any:
    """Write out what a run of characters or a list of pairs stands for."""
    if found.keys() == {"pieces"}:
        return "".join(
            piece if isinstance(piece, str) else piece[0] * piece[1] for piece in found["pieces"]
        )
    return dict(found["pairs"]) if found.keys() == {"pairs"} else found
