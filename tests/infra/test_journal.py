"""The laptop's journal: writes are all or nothing, and one process at a time has the file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.journal import Journal, NoPlaceForState, StateDamaged, StateInUse

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "that is new" / "local.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path)
    yield opened
    opened.close()


def kept(journal: Journal, kind: str = "item") -> dict[str, Any]:
    return dict(journal.read(kind))


def test_what_is_written_is_read_back_by_its_kind(journal: Journal) -> None:
    value = {"S": "é\u2028 \U0001f552", "N": "1", "L": [None, True, 1.5], "": {}}
    journal.write([("item", "a/b", value), ("message", "a/b", "other")])
    assert kept(journal) == {"a/b": value}
    assert kept(journal, "message") == {"a/b": "other"}
    assert kept(journal, "schedule") == {}


def test_the_last_value_counts_and_none_forgets(journal: Journal) -> None:
    journal.write([("item", "a", 1), ("item", "b", 1), ("item", "a", 2)])
    journal.write([("item", "b", None), ("item", "never there", None)])
    assert kept(journal) == {"a": 2}


def test_what_was_written_is_there_when_it_is_opened_again(path: Path) -> None:
    first = Journal(path)
    first.write([("item", "a", 1)])
    first.close()
    second = Journal(path)
    assert kept(second) == {"a": 1}
    second.close()


def test_of_a_write_that_fails_nothing_is_kept_and_the_next_one_works(journal: Journal) -> None:
    journal.write([("item", "a", 1)])
    for unwritable in (object(), "\ud800"):
        with pytest.raises((TypeError, UnicodeEncodeError)):
            journal.write([("item", "a", 2), ("item", "b", unwritable), ("item", "c", 3)])
        assert kept(journal) == {"a": 1}
    journal.write([("item", "a", 4)])
    assert kept(journal) == {"a": 4}


def test_whoever_comes_second_is_refused_with_a_sentence_and_leaves_the_first_alone(
    path: Path, journal: Journal
) -> None:
    with pytest.raises(StateInUse, match="is in use: is another Resona running here"):
        Journal(path, patience_seconds=0)
    journal.write([("item", "a", 1)])
    assert kept(journal) == {"a": 1}


def test_what_is_no_journal_is_not_overwritten(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a letter to my mother" * 100)
    with pytest.raises(
        StateDamaged,
        match=r"local\.sqlite cannot be read .*: put a copy of it back, or move it away",
    ):
        Journal(path)
    assert path.read_bytes() == b"a letter to my mother" * 100


def test_a_damage_that_shows_only_when_it_is_read_is_told_as_one(path: Path) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO things VALUES ('item', 'a', '{half')")
    database.close()
    opened = Journal(path)
    with pytest.raises(StateDamaged, match=r"local\.sqlite cannot be read"):
        kept(opened)
    opened.close()


def test_a_folder_that_cannot_be_one_and_a_file_that_cannot_be_opened_are_told_from_one_in_use(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.sqlite").mkdir()
    for path in (tmp_path / "file" / "local.sqlite", tmp_path / "folder.sqlite"):
        with pytest.raises(
            NoPlaceForState, match="set RESONA_HOME to a folder that can be written"
        ):
            Journal(path)


def test_a_journal_left_by_a_killed_process_opens_with_all_that_was_written(path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from infra.local.journal import "
        "Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(100): journal.write([('item', str(number), number)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    opened = Journal(path)
    assert len(kept(opened)) == 100
    opened.close()


def test_many_threads_write_and_read_at_once(journal: Journal) -> None:
    together = threading.Barrier(8)

    def write(thread: int) -> None:
        together.wait(timeout=10)
        for number in range(50):
            journal.write([("item", f"{thread}-{number}", number)])
            assert f"{thread}-{number}" in kept(journal)

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept(journal)) == 400


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_an_older_resona_left_readable_is_its_owner_s_alone_from_then_on(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o755)
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    # As a process that was killed leaves them: SQLite takes them over as they are.
    sqlite3.connect(path).close()
    for file in files:
        file.touch()
        file.chmod(0o644)
    Journal(path).close()
    assert mode(path.parent) == 0o700
    assert {mode(file) for file in files if file.exists()} == {0o600}


def test_a_folder_that_others_need_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    Journal(shared / "local.sqlite").close()
    assert shared.stat().st_mode & 0o7777 == 0o1777
