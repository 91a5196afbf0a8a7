"""Fixtures of outbound tests: a record of every connection, and a trusted TLS authority."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.outbound import transport
from tests.outbound.servers import AUTHORITY

_opened: list[Any] = []
_asked: list[str] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    # connect_ex is heard as connect.
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(
        arguments[1], tuple
    ):
        _opened.append(arguments[1])
    elif event == "socket.getaddrinfo":
        _asked.append(str(arguments[0]))


# Below Python's own sockets, so that no library can connect unheard. It cannot be taken away again,
# and costs next to nothing.
sys.addaudithook(_listen)


class Opened(list[Any]):
    """The addresses to which connections were opened since the test began, in whichever thread;
    iterate to read them.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter([ipaddress.ip_address(address[0]) for address in list(_opened)])


@pytest.fixture
def opened(_heard: None) -> Opened:
    """Return the addresses to which connections are opened, in any thread."""
    return Opened()


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Hold every test to it: nothing but loopback is connected, and the system's resolver is asked
    about nobody else.
    """
    _opened.clear()
    _asked.clear()
    yield
    assert all(address.is_loopback for address in Opened()), list(Opened())
    assert set(_asked) <= {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(scope="session", autouse=True)
def _trusted() -> None:
    """Trust the tests' authority beside the public ones."""
    transport.tls().load_verify_locations(cadata=AUTHORITY.pem)
