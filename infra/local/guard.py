"""Which addresses jobs may call on a laptop: private ones too, to test programs on this machine.

Allowed besides public addresses: `localhost`, plain names, loopback and private addresses. Unusual
notations (`0x7f.1`) and the addresses where clouds serve credentials are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.domain.address import AddressClass, IpAddress, classify
from chalicelib.domain.request import as_address, malformed_host
from chalicelib.domain.run import Outcome
from chalicelib.outbound.address_guard import Failure, Guard

_ALLOWED = (AddressClass.PUBLIC, AddressClass.PRIVATE, AddressClass.LOOPBACK)


def refuse_address(address: IpAddress) -> str | None:
    """Return why a laptop may not call an address, None if it may."""
    kind = classify(address)
    return None if kind in _ALLOWED else kind.value


def refuse_host(host: str) -> str | None:
    """Return why a laptop may not call a host, None if it may."""
    why = malformed_host(host)
    if why:
        return why
    address = as_address(host)
    return (
        "must name a public, a private or a loopback address"
        if address is not None and refuse_address(address)
        else None
    )


LOCAL = Guard(refuse_host, refuse_address)


@dataclass(frozen=True)
class _Beside(Guard):
    """The laptop's guard: jobs may not call the emulator's port of 127.0.0.1."""

    own_port: int = 0

    def addresses(self, host: str, port: int, until: float) -> list[IpAddress]:
        """Return the addresses of a host, as `Guard` does.

        Raises Failure, also for a loopback address with `own_port`.
        """
        found = super().addresses(host, port, until)
        if port == self.own_port and any(
            classify(address) is AddressClass.LOOPBACK for address in found
        ):
            raise Failure(
                Outcome.BLOCKED,
                "the port is that of the process that keeps Resona's jobs, which no job may call",
            )
        return found


def beside(own_port: int) -> Guard:
    """Return the laptop's guard; `own_port` is the emulator's port of 127.0.0.1."""
    return _Beside(refuse_host, refuse_address, own_port=own_port)
