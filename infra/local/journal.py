"""The laptop's data: one row per item, in a SQLite file.

A row is written before its write is answered. SQLite's write-ahead log is in the system's hands
then, so a killed process loses nothing that was acknowledged; only a failing machine could lose its
last moments.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PROJECT = Path(__file__).parent.parent.parent


class StateUnusable(Exception):
    """Nothing can be kept in this file; the sentence says why, and what to do."""


class StateInUse(StateUnusable):
    """Another process serves from the same file."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is in use: is another Resona running here? Stop it, or set RESONA_HOME to "
            "another folder"
        )


class StateDamaged(StateUnusable):
    """The file is there, and is not what a journal wrote."""

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(
            f"{path} cannot be read ({why}): put a copy of it back, or move it away and begin "
            "without jobs"
        )


class NoPlaceForState(StateUnusable):
    """The folder cannot be made or written."""

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(
            f"jobs and runs cannot be kept in {path} ({why}): set RESONA_HOME to a folder that can "
            "be written"
        )


def _unusable(path: Path, error: sqlite3.Error) -> StateUnusable:
    # The last byte of an extended code is the primary one.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateInUse(path)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StateDamaged(path, error)
    return NoPlaceForState(path, error)


def keep_private(path: Path) -> None:
    """Create a database's folder, readable by its owner alone, SQLite's files too. Raises OSError.

    Call it before the file is opened, with a umask of 077 if there is none yet: SQLite gives its
    other files the same mode.
    """
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    # RESONA_HOME may name a folder that others need as well, such as a home, or a temporary one,
    # which is sticky.
    is_shared = found.st_mode & stat.S_ISVTX or any(
        place.is_relative_to(folder.resolve()) for place in (Path.home(), _PROJECT)
    )
    if not is_shared and found.st_uid == os.getuid():
        folder.chmod(0o700)
    for end in ("", "-wal", "-shm", "-journal"):
        file = path.with_name(path.name + end)
        if file.exists():
            file.chmod(0o600)


class Journal:
    """Things by kind and name. Safe to use from many threads."""

    def __init__(self, path: Path, patience_seconds: float = 5) -> None:
        """Open or make the file; who served from it before may take a moment to end.

        Raises StateUnusable.
        """
        self._path = path
        self._lock = threading.Lock()
        try:
            keep_private(path)
            self._database = sqlite3.connect(
                path, check_same_thread=False, isolation_level=None, timeout=patience_seconds
            )
        except OSError as error:
            raise NoPlaceForState(path, error.strerror) from error
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        try:
            # Held as long as the process lives, and given back by the system however it ends.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS things (kind TEXT, name TEXT, value TEXT, "
                "PRIMARY KEY (kind, name)) WITHOUT ROWID"
            )
            self._database.execute("BEGIN EXCLUSIVE")
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._database.close()
            raise _unusable(path, error) from error

    def write(self, changes: list[tuple[str, str, Any]]) -> None:
        """Keep the value of each (kind, name), all or nothing; None forgets it."""
        # The connection commits at the end, or rolls back: a write that failed half-way must not
        # hold up those after it.
        with self._lock, self._database:
            self._database.execute("BEGIN")
            for kind, name, value in changes:
                if value is None:
                    self._database.execute(
                        "DELETE FROM things WHERE kind = ? AND name = ?", (kind, name)
                    )
                else:
                    text = json.dumps(value, ensure_ascii=False)
                    self._database.execute(
                        "INSERT OR REPLACE INTO things VALUES (?, ?, ?)", (kind, name, text)
                    )

    def read(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield (name, value) of everything of a kind. Raises StateDamaged."""
        try:
            with self._lock:
                rows = self._database.execute(
                    "SELECT name, value FROM things WHERE kind = ?", (kind,)
                ).fetchall()
            for name, text in rows:
                yield name, json.loads(text)
        except (sqlite3.DatabaseError, ValueError) as error:
            raise StateDamaged(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
