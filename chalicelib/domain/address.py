"""Classify IP addresses: only public ones may be called.

The table is our own, because the standard library's `is_private` differs between patch releases and
counts some of these networks as global.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressClass(StrEnum):
    """The class of an IP address."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    NOT_PUBLIC = "not public"


_LOOPBACK = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128")]
# Apart from _NOT_PUBLIC, because Resona on a laptop may call these.
_PRIVATE = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]
# IANA's special-purpose registries, and 168.63.129.16, Azure's counterpart of the metadata service
# at 169.254.169.254.
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
# RFC 5214 (ISATAP): an address whose interface identifier begins with 0:5efe or 200:5efe tunnels to
# the IPv4 address in its last 32 bits, whatever its prefix.
_ISATAP, _ISATAP_BITS = 0x00005EFE, 0xFDFFFFFF


def classify(address: IpAddress) -> AddressClass:
    """Return the class of an address.

    An IPv6 address is not public if it has a scope or lies outside 2000::/3. That includes IPv4
    addresses embedded in IPv6.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return AddressClass.NOT_PUBLIC
    if any(address in network for network in _LOOPBACK):
        return AddressClass.LOOPBACK
    if any(address in network for network in _PRIVATE):
        return AddressClass.PRIVATE
    if any(address in network for network in _NOT_PUBLIC):
        return AddressClass.NOT_PUBLIC
    if address.version == 6 and (
        address not in _GLOBAL_UNICAST or int(address) >> 32 & _ISATAP_BITS == _ISATAP
    ):
        return AddressClass.NOT_PUBLIC
    return AddressClass.PUBLIC
