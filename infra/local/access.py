"""API keys on a laptop: none are needed, or with `AUTH=required` every caller needs one.

A key is created once and kept in the data folder, in a file that only its owner can read, so
programs that use it work after a restart. The table of keys holds digests only.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chalicelib.api.routing import LOCAL_TENANT
from chalicelib.domain.api_keys import ApiKeyStatus, Scope, StoredApiKey, new_key, read_key, verify
from chalicelib.handlers.authorizer import Authenticator

_KEY, _ENDPOINT = "key", "endpoint"


def needs_keys(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether AUTH requires keys.

    Exits with a sentence for an unknown value: a typo must not open the API to everyone.
    """
    text = environ.get("AUTH", "")
    if text not in ("", "required"):
        sys.exit(f"AUTH can only be `required`, or not be set; it is {text!r}")
    return text == "required"


def refuse_topics(environ: Mapping[str, str] = os.environ) -> None:
    """Exit with a sentence if RESONA_NOTICE_TOPICS is set: a laptop must not seem to send mail."""
    if environ.get("RESONA_NOTICE_TOPICS"):
        sys.exit(
            "a laptop publishes to no topic of SNS: unset RESONA_NOTICE_TOPICS, which is for "
            "deployed stages"
        )


def own_key(folder: Path, gate: Authenticator) -> str:
    """Return the key that is kept in the folder if it is still valid, else create and keep one.

    Raises Unavailable.
    """
    path = folder / _KEY
    if path.exists():
        path.chmod(0o600)
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
    gate.keys.add(StoredApiKey(key.id, key.digest, LOCAL_TENANT, frozenset(Scope), gate.clock()))
    _keep(path, key.text)
    return key.text


def _keep(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{text}\n")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The URL of a running emulator, and the token that every request to it must carry."""

    url: str
    token: str = field(repr=False)

    @property
    def port(self) -> int:
        """Return the port of 127.0.0.1 on which the emulator listens."""
        return int(self.url.rpartition(":")[2])


def note_endpoint(folder: Path, endpoint: Endpoint) -> None:
    """Write the emulator's endpoint into the folder, for `python -m infra.keys`."""
    _keep(folder / _ENDPOINT, f"{endpoint.url} {endpoint.token}")


def noted_endpoint(folder: Path) -> Endpoint | None:
    """Return the endpoint that `note_endpoint` wrote; None if no emulator listens there."""
    path = folder / _ENDPOINT
    noted = path.read_text().split() if path.exists() else []
    if len(noted) != 2:
        return None
    endpoint = Endpoint(*noted)
    with socket.socket() as connection:
        return None if connection.connect_ex(("127.0.0.1", endpoint.port)) else endpoint
