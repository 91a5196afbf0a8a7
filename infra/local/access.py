"""Who may call a laptop: everybody, unless it was started with `AUTH=required`; then whoever has a
key, and it has one to begin with.

That key is made once and kept in the folder, for its owner's eyes alone: what was written against
it goes on working after a restart, as the jobs do. The tables know no key, only digests.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from chalicelib.domain.api_keys import (
    ApiKeyStatus,
    Key,
    Scope,
    StoredApiKey,
    new_key,
    read_key,
    verify,
)
from chalicelib.handlers.authorizer import Authenticator

# Whose jobs they are that are registered without a key.
TENANT = "local"
_KEY, _ENDPOINT = "key", "endpoint"


def needs_keys(environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether AUTH asks for keys.

    Exits with a sentence if it cannot be understood: a laptop must not be open by a slip of the
    pen.
    """
    text = environ.get("AUTH", "")
    if text not in ("", "required"):
        sys.exit(f"AUTH can only be `required`, or not be set; it is {text!r}")
    return text == "required"


def own_key(folder: Path, gate: Authenticator) -> str:
    """Return the key that the folder keeps, if it still opens the stage; else make one.

    Raises Unavailable.
    """
    path = folder / _KEY
    kept = (
        read_key(path.read_text(encoding="ascii", errors="replace").strip(), gate.stage)
        if path.exists()
        else None
    )
    if (
        kept is not None
        and verify(kept, gate.keys.get(kept.id), gate.clock()) == ApiKeyStatus.ACTIVE
    ):
        return kept.text
    key = new_key(gate.stage)
    gate.keys.add(StoredApiKey(key.id, key.digest, TENANT, frozenset(Scope), gate.clock()))
    _keep(path, key)
    return key.text


def _keep(path: Path, key: Key) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{key.text}\n")


def note_endpoint(folder: Path, endpoint: str) -> None:
    """Note in the folder where its cloud is found while it runs: for `python -m infra.keys`."""
    (folder / _ENDPOINT).write_text(endpoint)


def noted_endpoint(folder: Path) -> str | None:
    """Return where the folder's cloud was found last; None if there was none."""
    path = folder / _ENDPOINT
    return path.read_text() if path.exists() else None
