"""What the tests of calling out stand on: a guard that lets loopback through, and an ear for every connection that is opened."""

from __future__ import annotations

import ipaddress
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

_opened: list[tuple[int, Any]] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        _opened.append((threading.get_ident(), arguments[1]))


# Below Python's own sockets, so that no library can connect unheard. It cannot be taken away again, and costs next to nothing.
sys.addaudithook(_listen)


@pytest.fixture
def opened() -> Iterator[list[ipaddress.IPv4Address | ipaddress.IPv6Address]]:
    """Return the addresses to which this test's own thread opened connections."""

    class Opened(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            own = threading.get_ident()
            return iter([ipaddress.ip_address(address[0]) for thread, address in _opened if thread == own])

    _opened.clear()
    yield Opened()
    _opened.clear()
