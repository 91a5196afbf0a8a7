"""Completion by callback: what a job asks for, what its target says, and the URL that it calls.

The URL ends with a token: the id of the run, the number of the attempt and 24 random bytes. The run
stores a digest of the token only.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from chalicelib.domain.ids import RUN_ID, RunKey, run_id, run_key

PATH = "/complete/"
SHORTEST_SECONDS, LONGEST_SECONDS = 60, 86_400
# A deadline can be moved to this long after the start of its attempt.
LONGEST = timedelta(seconds=LONGEST_SECONDS)
# Up to this length a message keeps a deadline, a longer one the sweeper: most words come in time,
# and an executor would wait for the rest of a second to find that there is nothing to do.
SHORT = timedelta(minutes=3)
# Of a word's message, in characters, and of its body, in bytes as for the answer of a target.
LONGEST_MESSAGE, KEPT_BODY = 1_000, 16 * 1024
# Bytes of a token's random part, and the length of their text.
TOKEN_BYTES, _LENGTH = 24, 32
_LONGEST_TOKEN = 160


@dataclass(frozen=True, slots=True)
class Completion:
    """How a job is completed by callback.

    `deadline` counts from the start of an attempt. `base_url` is the URL of the API through which
    the job was registered, without a slash at its end.
    """

    deadline: timedelta
    base_url: str


@dataclass(frozen=True, slots=True)
class Awaited:
    """The word that an attempt waits for.

    `digest` is that of its token, `since` the time of its claim, `until` its deadline.
    """

    digest: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """A token that a caller sent, with the attempt that it names. It may be forged."""

    text: str
    job_id: str
    key: RunKey
    attempt: int

    def opens(self, digest: str | None) -> bool:
        """Return whether this is the token with that digest; False for None."""
        return digest is not None and hmac.compare_digest(digest_of(self.text), digest)


def token_text(job_id: str, key: RunKey, attempt: int, random: str) -> str:
    """Return the token of an attempt. `random` is its random part, as `random_part` makes it."""
    return f"{run_id(job_id, key)}.{attempt}.{random}"


def random_part(entropy: bytes) -> str:
    """Return random bytes as a token's random part."""
    return base64.urlsafe_b64encode(entropy).decode("ascii")


def read_token(text: str) -> Token | None:
    """Read a token; None for a text that cannot be one."""
    identifier, _, rest = text.partition(".")
    attempt, _, random = rest.partition(".")
    number = int(attempt) if attempt.isascii() and attempt.isdigit() and len(attempt) < 3 else 0
    is_whole = len(text) <= _LONGEST_TOKEN and len(random) == _LENGTH and attempt == str(number)
    if not is_whole or number < 1 or not RUN_ID.fullmatch(identifier):
        return None
    job_id = f"job_{identifier.removeprefix('run_').partition('-')[0]}"
    try:
        return Token(text, job_id, run_key(job_id, identifier), number)
    except ValueError:
        return None


def digest_of(text: str) -> str:
    """Return the digest of a token, which is stored."""
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def url_of(completion: Completion, text: str) -> str:
    """Return the URL that the target calls."""
    return f"{completion.base_url}{PATH}{text}"
