"""Which addresses a webhook may go to. A name is looked up once, and what was checked is what is connected to."""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


DISGUISES = _networks("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b::/96")
"""Mapped, translated, compatible and NAT64: the last 32 bits are the IPv4 address that is meant."""
TUNNELS = _networks("2002::/16", "2001::/32", "192.88.99.0/24")
"""6to4 and Teredo: nobody's way to a receiver any more, but a way to an address in disguise."""
PUBLIC_IPV6, DOCUMENTS = _networks("2000::/3", "3fff::/20")
METADATA = {
    ip_address(one)
    for one in ("169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
}
"""What clouds tell their machines' secrets under; one of them is a public address."""
PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128"
)
"""Where a receiver inside the house may stand."""


class ForbiddenAddressError(Exception):
    """An address that no webhook goes to; the message says which and why."""


def look_up(host: str, port: int) -> list[str]:
    """Every address of a name. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def checked(addresses: Sequence[str], *, allow_private: bool) -> list[str]:
    """The same addresses. Raises `ForbiddenAddressError` if any of them is not allowed: a name with one such is not trusted."""
    for text in addresses:
        why = objection(ip_address(text), allow_private=allow_private)
        if why:
            raise ForbiddenAddressError(f"{text} is {why}")
    if not addresses:
        raise ForbiddenAddressError("the name has no address")
    return list(addresses)


def objection(address: Address, *, allow_private: bool) -> str:
    """Why nothing is sent to an address; empty where it may be."""
    if isinstance(address, IPv6Address) and address.scope_id:
        return "of one link only"
    if hidden := _hidden(address):
        return objection(hidden, allow_private=allow_private)
    if address in METADATA:
        return "a cloud's metadata service"
    if _within(address, PRIVATE):
        return "" if allow_private else "private: set allow_private if the receiver is your own"
    return "" if _is_public(address) else "not of the public internet"


def _hidden(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if address == IPv6Address("::1") or not _within(address, DISGUISES):
        return None
    return IPv4Address(int(address) & 0xFFFFFFFF)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (address not in PUBLIC_IPV6 or address in DOCUMENTS):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or _within(address, TUNNELS))


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
