"""Fixtures: laptops that the tests start, or with RESONA_URL and RESONA_KEY a deployed stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import remote
from tests.acceptance.laptop import Laptop
from tests.acceptance.receivers import Receiver, Receiving
from tests.acceptance.remote import Refused, Remote
from tests.acceptance.report import LAPTOPS_ALONE
from tests.acceptance.served import Served


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not remote.is_wanted():
        return
    for item in items:
        mark = item.get_closest_marker("laptop")
        if mark is not None:
            item.add_marker(pytest.mark.skip(reason=f"{LAPTOPS_ALONE}: {mark.args[0]}"))


@pytest.fixture(scope="session")
def stage() -> Iterator[Remote | None]:
    """The stage at RESONA_URL, None without it.

    What was registered there is deleted at the end, however that comes about.
    """
    if not remote.is_wanted():
        yield None
        return
    try:
        found = remote.of_environment()
    except Refused as refused:
        pytest.exit(str(refused), returncode=2)
    yield found
    if found.is_cleaned_by_tests:
        found.clean()


@pytest.fixture(scope="module")
def served(stage: Remote | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Resona, serving for all tests of a module."""
    if stage is not None:
        yield stage
        return
    home: Path = tmp_path_factory.mktemp("resona")
    laptop = Laptop(home)
    laptop.start()
    yield laptop
    laptop.close()


@pytest.fixture(scope="module")
def closed(stage: Remote | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A Resona that asks for keys."""
    if stage is not None:
        yield stage
        return
    laptop = Laptop(tmp_path_factory.mktemp("closed"), AUTH="required")
    laptop.start()
    yield laptop
    laptop.close()


@pytest.fixture(scope="module")
def target(stage: Remote | None) -> Iterator[Receiving]:
    """What jobs may call, whether or not it shows what they send."""
    made: Receiving = Receiver() if stage is None else remote.receiver_of_environment(stage)
    yield made
    made.close()


@pytest.fixture(scope="module")
def receiver(target: Receiving) -> Receiving:
    """What jobs may call, and what shows what they send."""
    if not target.shows_requests:
        pytest.skip("nothing shows what jobs send: set RESONA_RECEIVER")
    return target
