"""Which hosts and addresses may be called, and how a connection is held to them."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.domain.address import AddressClass, IpAddress, classify
from chalicelib.domain.request import HostRule, refuse_private_host
from chalicelib.domain.run import Outcome

Resolver = Callable[[str, int], list[IpAddress]]


class Failure(Exception):
    """The exchange is over before there was an answer.

    Not an OSError, so that no library mistakes it for one of its own.
    """

    def __init__(self, outcome: Outcome, sentence: str) -> None:
        self.outcome = outcome
        self.sentence = sentence
        super().__init__(sentence)


def refuse_private_address(address: IpAddress) -> str | None:
    """Say why an address may not be called, None if it is public."""
    kind = classify(address)
    return None if kind is AddressClass.PUBLIC else kind.value


def resolve(host: str, port: int) -> list[IpAddress]:
    """Return every address of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules for hosts as they are written and for the addresses they resolve to.

    Nothing deployed has one but `PUBLIC`.
    """

    refuse_host: HostRule
    refuse_address: Callable[[IpAddress], str | None]
    resolve: Resolver = resolve

    def addresses(self, host: str, port: int, until: float) -> list[IpAddress]:
        """Return the addresses of a host, IPv4 first, if every one of them may be called. `until`
        is on the monotonic clock.

        Raises Failure: one address that may not be called refuses them all, since the next answer
        may hold it alone.
        """
        found = self._resolve(host, port, until)
        if not found:
            raise Failure(Outcome.DNS_FAILED, "the host has no address")
        if any(self.refuse_address(address) for address in found):
            raise Failure(Outcome.BLOCKED, "the host's address is not public")
        return sorted(dict.fromkeys(found), key=lambda address: address.version)

    def _resolve(self, host: str, port: int, until: float) -> list[IpAddress]:
        """Resolve in a thread, since the system's resolver waits as long as it likes."""
        answer: list[list[IpAddress] | Exception] = []

        def ask() -> None:
            try:
                answer.append(self.resolve(host.strip("[]"), port))
            except (OSError, ValueError) as error:
                answer.append(error)

        if ":" in host or host.replace(".", "").isdigit():
            # An address needs nobody to be asked.
            ask()
        else:
            thread = threading.Thread(target=ask, daemon=True)
            thread.start()
            thread.join(max(0, until - time.monotonic()))
        if not answer:
            raise Failure(Outcome.TIMEOUT, "the host's name was not resolved in time")
        if isinstance(answer[0], Exception):
            raise Failure(Outcome.DNS_FAILED, "the host's name could not be resolved") from answer[
                0
            ]
        return answer[0]


PUBLIC = Guard(refuse_private_host, refuse_private_address)


def connect(guard: Guard, host: str, port: int, until: float) -> socket.socket:
    """Return a socket that is connected to an address of the host that may be called.

    Raises Failure.
    """
    sentence = "the host could not be connected"
    addresses = guard.addresses(host, port, until)
    for tried, address in enumerate(addresses):
        # Each has its share of the time that is left: an address that swallows everything must
        # leave some for the next.
        remaining = (until - time.monotonic()) / (len(addresses) - tried)
        if remaining <= 0:
            break
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(remaining)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((str(address), port))
            if ipaddress.ip_address(sock.getpeername()[0]) != address:
                raise Failure(Outcome.BLOCKED, "the connection went to another address")
        except OSError:
            sock.close()
            continue
        except Failure:
            sock.close()
            raise
        return sock
    if time.monotonic() >= until:
        raise Failure(Outcome.TIMEOUT, "the host was not connected in time")
    raise Failure(Outcome.CONNECTION_FAILED, sentence)
