"""Check hosts and addresses before a connection, and connect only to a checked address."""

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
    """The attempt failed before an answer was read; `sentence` says why.

    Not a subclass of OSError, because libraries catch OSError.
    """

    def __init__(self, outcome: Outcome, sentence: str) -> None:
        self.outcome = outcome
        self.sentence = sentence
        super().__init__(sentence)


def refuse_private_address(address: IpAddress) -> str | None:
    """Return why an address may not be called, None if it is public."""
    kind = classify(address)
    return None if kind is AddressClass.PUBLIC else kind.value


def resolve(host: str, port: int) -> list[IpAddress]:
    """Return every address of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules for host names and for the addresses that they resolve to.

    Deployed code uses only `PUBLIC`.
    """

    refuse_host: HostRule
    refuse_address: Callable[[IpAddress], str | None]
    resolve: Resolver = resolve

    def addresses(self, host: str, port: int, until: float) -> list[IpAddress]:
        """Return the addresses of a host, IPv4 first. `until` is a time of the monotonic clock.

        Raises Failure, also if only one of the addresses is refused: the next DNS answer may
        contain only that one.
        """
        found = self._resolve(host, port, until)
        if not found:
            raise Failure(Outcome.DNS_FAILED, "the host has no address")
        if any(self.refuse_address(address) for address in found):
            raise Failure(Outcome.BLOCKED, "the host's address is not public")
        return sorted(dict.fromkeys(found), key=lambda address: address.version)

    def _resolve(self, host: str, port: int, until: float) -> list[IpAddress]:
        """Resolve in a thread, because the system's resolver has no timeout."""
        answer: list[list[IpAddress] | Exception] = []

        def ask() -> None:
            try:
                answer.append(self.resolve(host.strip("[]"), port))
            except (OSError, ValueError) as error:
                answer.append(error)

        if ":" in host or host.replace(".", "").isdigit():
            # Already an address: no DNS query.
            ask()
        else:
            thread = threading.Thread(target=ask, daemon=True)
            thread.start()
            thread.join(max(0, until - time.monotonic()))
        if not answer:
            raise Failure(Outcome.TIMEOUT, "the host's name was not resolved in time")
        if isinstance(answer[0], Exception):
            sentence = "the host's name could not be resolved"
            raise Failure(Outcome.DNS_FAILED, sentence) from answer[0]
        return answer[0]


PUBLIC = Guard(refuse_private_host, refuse_private_address)


def connect(guard: Guard, host: str, port: int, until: float) -> socket.socket:
    """Return a socket connected to a checked address of the host. Raises Failure."""
    addresses = guard.addresses(host, port, until)
    for tried, address in enumerate(addresses):
        # Divide the remaining time among the addresses, so that one that drops packets leaves time
        # for the next.
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
    raise Failure(Outcome.CONNECTION_FAILED, "the host could not be connected")
