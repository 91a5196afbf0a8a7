"""Keep the laptop's data in a SQLite file: one row per item, message or schedule.

A row is written before its write is acknowledged. The operating system has SQLite's write-ahead
log by then, so killing the process loses no acknowledged write. A power failure may lose the last
ones.
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
    """The file cannot be used as a journal; the message says why, and what to do."""


class StateInUse(StateUnusable):
    """Another process uses the same file."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is in use: is another Resona running here? Stop it, or set RESONA_HOME to "
            "another folder"
        )


class StateDamaged(StateUnusable):
    """The file exists, but it is not a journal."""

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(
            f"{path} cannot be read ({why}): put a copy of it back, or move it away and begin "
            "without jobs"
        )


class NoPlaceForState(StateUnusable):
    """The folder cannot be created or written to."""

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(
            f"jobs and runs cannot be kept in {path} ({why}): set RESONA_HOME to a folder that can "
            "be written"
        )


def _unusable(path: Path, error: sqlite3.Error) -> StateUnusable:
    # The lowest byte of an extended error code is the primary code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateInUse(path)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StateDamaged(path, error)
    return NoPlaceForState(path, error)


def keep_private(path: Path) -> None:
    """Create a database's folder, and let only its owner read it and SQLite's files in it.

    Call it before the file is opened. If there is no file yet, set a umask of 077 first: SQLite
    creates its other files with the mode of the first. Raises OSError.
    """
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    # RESONA_HOME may name a folder that other programs use too: the home folder, the project's, or
    # one like /tmp, which has the sticky bit. Do not change their modes.
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
    """JSON values by kind and name. Safe to use from many threads."""

    def __init__(self, path: Path, patience_seconds: float = 5) -> None:
        """Open or create the file. Wait `patience_seconds` for another process to release it.

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
            # The lock lasts as long as the process; the system releases it however it ends.
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
        """Store the value of each (kind, name), all or none. A value of None deletes the row."""
        # The connection commits at the end of the block, or rolls back, so a failed write leaves no
        # open transaction.
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
        """Yield the (name, value) pairs of a kind. Raises StateDamaged."""
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
