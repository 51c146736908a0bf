"""Addresses of clients: which network one is in, and which of them count as one."""

from __future__ import annotations

import ipaddress


def is_in(host: str, networks: str) -> bool:
    """Whether an address is in one of the networks, which have commas between them."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    named = [ipaddress.ip_network(part.strip(), strict=False) for part in networks.split(",") if part.strip()]
    return any(address in network for network in named)


def is_address(host: str) -> bool:
    """Whether a host is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def address_of(host: str) -> str:
    """Who counts as one: an IPv4 address, or the /64 that an IPv6 network gives to one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "elsewhere"
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))
