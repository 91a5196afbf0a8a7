"""What a laptop may call, and nothing deployed can: people test against what runs beside Resona.

`localhost`, plain names, loopback and private addresses. Numeric tricks (`0x7f.1`) stay refused,
and so do the addresses at which clouds give out credentials.
"""

from __future__ import annotations

from chalicelib.domain.address import AddressClass, IpAddress, classify
from chalicelib.domain.request import as_address, malformed_host
from chalicelib.outbound.address_guard import Guard

_ALLOWED = (AddressClass.PUBLIC, AddressClass.PRIVATE, AddressClass.LOOPBACK)


def refuse_address(address: IpAddress) -> str | None:
    """Say why an address may not be called even from a laptop, None if it may."""
    kind = classify(address)
    return None if kind in _ALLOWED else kind.value


def refuse_host(host: str) -> str | None:
    """Say why a host may not be called even from a laptop, None if it may."""
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
