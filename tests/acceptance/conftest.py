from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.laptop import Laptop, Receiver


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """Resona, serving for all tests of a module."""
    home: Path = tmp_path_factory.mktemp("resona")
    served = Laptop(home)
    served.start()
    yield served
    served.close()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A laptop that asks for keys."""
    laptop = Laptop(tmp_path_factory.mktemp("closed"), AUTH="required")
    laptop.start()
    yield laptop
    laptop.close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()
