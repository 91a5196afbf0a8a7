"""Classes of IP addresses: only what is public may be called.

By our own table: the standard library's `is_private` differs between patch releases, and calls some
of these global.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressClass(StrEnum):
    """What an address is, so that it can be named, logged and tested before anything is decided."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    NOT_PUBLIC = "not public"


_LOOPBACK = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128")]
# Where people run what they test against: their own machine and network.
_PRIVATE = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]
# From IANA's special-purpose registries, and Azure's 168.63.129.16, which answers with secrets as
# 169.254.169.254 does.
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in [
        "0.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    ]
]
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# RFC 5214: behind any prefix, an interface identifier 0:5efe or 200:5efe holds the IPv4 address to
# which a tunnel leads.
_ISATAP, _ISATAP_BITS = 0x00005EFE, 0xFDFFFFFF


def classify(address: IpAddress) -> AddressClass:
    """Say what an address is.

    An IPv6 address with a scope, or outside 2000::/3 (the embedded forms of IPv4 among them), is
    not public.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return AddressClass.NOT_PUBLIC
    if _is_in(address, _LOOPBACK):
        return AddressClass.LOOPBACK
    if _is_in(address, _PRIVATE):
        return AddressClass.PRIVATE
    if _is_in(address, _NOT_PUBLIC):
        return AddressClass.NOT_PUBLIC
    if address.version == 6 and (
        address not in _GLOBAL_UNICAST or int(address) >> 32 & _ISATAP_BITS == _ISATAP
    ):
        return AddressClass.NOT_PUBLIC
    return AddressClass.PUBLIC


def _is_in(
    address: IpAddress, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    return any(address.version == network.version and address in network for network in networks)
