"""Only addresses that the public Internet routes are public, in every notation."""

from __future__ import annotations

import ipaddress
import os
import random
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest

from chalicelib.domain.address import AddressClass, classify
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.request import Request, check

ADDRESSES = 1_000_000 if os.environ.get("RESONA_SOAK") else 20_000

# SECURITY's table once more, by hand and by other means than the code's, so that a slip in either
# shows.
DENIED_V4 = """0/8 10/8 100.64/10 127/8 169.254/16 172.16/12 192.0.0/24 192.0.2/24 192.31.196/24
192.52.193/24 192.88.99/24 192.168/16 192.175.48/24 198.18/15 198.51.100/24 203.0.113/24 224/4
240/4 168.63.129.16/32""".split()
DENIED_V6 = "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20".split()
# And judged by somebody else altogether: IANA's two registries of special-purpose addresses as of
# 2025, as text, with multicast and what is reserved for it beside them.
# https://www.iana.org/assignments/iana-ipv4-special-registry (and ipv6)
IANA_V4 = """0.0.0.0-0.255.255.255 10.0.0.0-10.255.255.255 100.64.0.0-100.127.255.255
127.0.0.0-127.255.255.255 169.254.0.0-169.254.255.255 172.16.0.0-172.31.255.255
192.0.0.0-192.0.0.255 192.0.2.0-192.0.2.255 192.31.196.0-192.31.196.255
192.52.193.0-192.52.193.255 192.88.99.0-192.88.99.255 192.168.0.0-192.168.255.255
192.175.48.0-192.175.48.255 198.18.0.0-198.19.255.255 198.51.100.0-198.51.100.255
203.0.113.0-203.0.113.255 224.0.0.0-239.255.255.255 240.0.0.0-255.255.255.255""".split()
IANA_V6 = """::-::1 ::ffff:0:0-::ffff:ffff:ffff 64:ff9b::-64:ff9b::ffff:ffff
64:ff9b:1::-64:ff9b:1:ffff:ffff:ffff:ffff:ffff 100::-100::ffff:ffff:ffff:ffff
100:0:0:1::-100:0:0:1:ffff:ffff:ffff:ffff 2001::-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff
2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff
2620:4f:8000::-2620:4f:8000:ffff:ffff:ffff:ffff:ffff
3fff::-3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff 5f00::-5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff
fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff
fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff""".split()
RANGES = [
    (ipaddress.ip_address(first), ipaddress.ip_address(last))
    for first, last in (one.split("-") for one in IANA_V4 + IANA_V6)
]
# Form → the IPv6 address that stands for an IPv4 address.
EMBEDDED: dict[str, Callable[[int], int]] = {
    "compatible": lambda v4: v4,
    "mapped": lambda v4: 0xFFFF << 32 | v4,
    "translated": lambda v4: 0xFFFF << 48 | v4,
    "NAT64": lambda v4: 0x64FF9B << 96 | v4,
    "local NAT64": lambda v4: 0x64FF9B0001 << 80 | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80,
    "Teredo": lambda v4: 0x20010000 << 96 | v4 ^ 0xFFFFFFFF,
    "Teredo server": lambda v4: 0x20010000 << 96 | v4 << 64,
    "ISATAP": lambda v4: 0x26064700 << 96 | 0x00005EFE << 32 | v4,
    "ISATAP, of a unique address": lambda v4: (
        0x2A001450 << 96 | 0x1234 << 64 | 0x02005EFE << 32 | v4
    ),
}


def bits(written: str) -> tuple[int, int]:
    """Return a network as its first bits and how many they are."""
    start, _, length = written.partition("/")
    if ":" in written:
        return int(IPv6Address(start)) >> 128 - int(length), int(length)
    octets = [int(octet) for octet in start.split(".")] + [0] * 4
    value = sum(octet << 24 - 8 * place for place, octet in enumerate(octets[:4]))
    return value >> 32 - int(length), int(length)


NETWORKS_V4, NETWORKS_V6 = [bits(one) for one in DENIED_V4], [bits(one) for one in DENIED_V6]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    value = int(address)
    if address.version == 4:
        return not any(value >> 32 - length == first for first, length in NETWORKS_V4)
    if address.packed[8:12].hex() in ("00005efe", "02005efe"):
        return False
    return value >> 125 == 1 and not any(
        value >> 128 - length == first for first, length in NETWORKS_V6
    )


def is_public_to_others(address: IPv4Address | IPv6Address) -> bool:
    """Judge by the standard library and by IANA's registries; neither knows that 168.63.129.16 is
    Azure's own.
    """
    if (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_unspecified
    ):
        return False
    if isinstance(address, IPv6Address) and (
        address.ipv4_mapped or address.sixtofour or address.teredo or address.scope_id
    ):
        return False
    return not any(
        first.version == address.version and int(first) <= int(address) <= int(last)
        for first, last in RANGES
    )


def edges() -> list[IPv4Address | IPv6Address]:
    """Return the first and last address of every network, and their neighbours."""
    found: list[IPv4Address | IPv6Address] = []
    for first, length in NETWORKS_V4:
        for value in (first << 32 - length, (first + 1) << 32 - length):
            found += [IPv4Address(at) for at in (value - 1, value) if 0 <= at < 2**32]
    for first, length in [*NETWORKS_V6, (1, 3)]:
        for value in (first << 128 - length, (first + 1) << 128 - length):
            found += [IPv6Address(value - 1), IPv6Address(value)]
    return found


@pytest.mark.parametrize("address", edges(), ids=str)
def test_every_network_ends_where_the_table_says(address: IPv4Address | IPv6Address) -> None:
    assert (classify(address) is AddressClass.PUBLIC) == is_public(address)


def test_random_addresses_are_public_only_by_the_table() -> None:
    chance = random.Random(1)
    # Every other one lies in a network of the table or in 2000::/3; a random one nearly never
    # would.
    for _ in range(ADDRESSES // 4):
        first, length = chance.choice(NETWORKS_V4)
        v4 = chance.choice(
            [chance.getrandbits(32), first << 32 - length | chance.getrandbits(32 - length)]
        )
        first, length = chance.choice(NETWORKS_V6)
        v6 = [
            chance.getrandbits(128),
            1 << 125 | chance.getrandbits(125),
            first << 128 - length | chance.getrandbits(128 - length),
        ]
        addresses: list[IPv4Address | IPv6Address] = [IPv4Address(v4), *map(IPv6Address, v6)]
        for address in addresses:
            assert (classify(address) is AddressClass.PUBLIC) == is_public(address), address
            assert is_public_to_others(address) or not is_public(address), address


def test_no_embedded_form_of_an_ipv4_address_is_public() -> None:
    chance = random.Random(2)
    for _ in range(ADDRESSES // len(EMBEDDED)):
        v4 = chance.choice([chance.getrandbits(32), 0x7F000001, 0x08080808, 0xA9FEA9FE])
        for form, embed in EMBEDDED.items():
            assert classify(IPv6Address(embed(v4))) is not AddressClass.PUBLIC, (form, v4)
            scoped = IPv6Address(f"{IPv6Address(embed(v4))}%{chance.choice(['eth0', '1', 'lo'])}")
            assert classify(scoped) is not AddressClass.PUBLIC, (form, v4)
    assert classify(IPv6Address("2606:4700::1%eth0")) is not AddressClass.PUBLIC


def test_every_network_of_ianas_registries_is_refused_to_its_last_address() -> None:
    for first, last in RANGES:
        for address in (first, last, type(first)((int(first) + int(last)) // 2)):
            assert classify(address) is not AddressClass.PUBLIC, address


def test_random_addresses_as_the_host_of_a_url_are_accepted_only_if_public() -> None:
    chance = random.Random(3)
    for _ in range(ADDRESSES // 20):
        v4, v6 = (
            IPv4Address(chance.getrandbits(32)),
            IPv6Address(1 << 125 | chance.getrandbits(125)),
        )
        value = int(v4)
        for host, may_pass in [
            (str(v4), is_public(v4)),
            (f"[{v6}]", is_public(v6)),
            (f"[{v6.exploded}]", is_public(v6)),
            (f"[{v6}%25eth0]", False),
            (str(value), False),
            (hex(value), False),
            (oct(value).replace("0o", "0"), False),
            (f"{value >> 24}.{value & 0xFFFFFF}", False),
            (f"{value >> 24:#x}.{value >> 16 & 255}.{value & 0xFFFF}", False),
            (".".join(f"{octet:04o}" for octet in v4.packed), False),
            *((f"[{IPv6Address(embed(value))}]", False) for embed in EMBEDDED.values()),
            (f"[::ffff:{v4}]", False),
        ]:
            assert is_accepted(f"http://{host}/") == may_pass, host


def is_accepted(url: str) -> bool:
    try:
        check(Request(url, "POST", {}))
    except InvalidInput:
        return False
    return True


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("127.0.0.1", AddressClass.LOOPBACK),
        ("127.255.255.255", AddressClass.LOOPBACK),
        ("::1", AddressClass.LOOPBACK),
        ("10.0.0.1", AddressClass.PRIVATE),
        ("172.31.0.1", AddressClass.PRIVATE),
        ("192.168.0.1", AddressClass.PRIVATE),
        ("fd00::1", AddressClass.PRIVATE),
        ("169.254.169.254", AddressClass.NOT_PUBLIC),
        ("168.63.129.16", AddressClass.NOT_PUBLIC),
        ("fe80::1", AddressClass.NOT_PUBLIC),
        ("fe80::1%eth0", AddressClass.NOT_PUBLIC),
        ("fd00::1%eth0", AddressClass.NOT_PUBLIC),
        ("2606:4700::1%eth0", AddressClass.NOT_PUBLIC),
        ("0.0.0.0", AddressClass.NOT_PUBLIC),
        ("::", AddressClass.NOT_PUBLIC),
        ("::ffff:127.0.0.1", AddressClass.NOT_PUBLIC),
        ("2606:4700:4700::1111", AddressClass.PUBLIC),
        ("8.8.8.8", AddressClass.PUBLIC),
    ],
)
def test_an_address_has_a_class(written: str, kind: AddressClass) -> None:
    assert classify(ipaddress.ip_address(written)) is kind
