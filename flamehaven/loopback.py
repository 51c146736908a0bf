"""Whose program is at the other end of a connection within this machine.

A proxy on this machine connects from 127.0.0.1 as everybody here does, and need not say that it is a proxy. But it
usually runs as a user of its own, and the kernel knows the user of each socket (proc(5), `/proc/net/tcp`).
"""

from __future__ import annotations

import ipaddress
import os
import struct
from pathlib import Path

import psutil

Address = tuple[str, int]
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def is_own(client: Address, server: Address) -> bool:
    """Whether the program that connected from `client` to `server` runs as the user of this process.

    False where that cannot be told. It blocks while the kernel lists its connections, a few milliseconds for thousands.
    """
    if all(table.exists() for table in TABLES):
        return os.getuid() in _users(client, server)
    return _is_of_own_process(client, server)


def _users(client: Address, server: Address) -> set[int]:
    """The users of the sockets that are connected from `client` to `server`; one that was closed has none."""
    ends = [[_written(client, mapped=mapped), _written(server, mapped=mapped)] for mapped in (False, True)]
    rows = [line.split() for table in TABLES for line in table.read_text().splitlines()[1:]]
    return {int(row[7]) for row in rows if row[1:3] in ends and row[9] != "0"}


def _written(address: Address, *, mapped: bool) -> str:
    """An address as the kernel writes it: words of 32 bits in the machine's byte order, and the port.

    With `mapped`, an IPv4 address as that of a socket for IPv6 (RFC 4291, section 2.5.5.2).
    """
    host = _plain(address[0])
    packed = host.packed
    if mapped and host.version == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"


def _plain(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_of_own_process(client: Address, server: Address) -> bool:
    """The same on systems without these tables: each process of this user is asked for its connections."""
    wanted = [(_plain(host), port) for host, port in (client, server)]
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid():
                for each in process.net_connections("tcp"):
                    if each.raddr and [(_plain(end.ip), end.port) for end in (each.laddr, each.raddr)] == wanted:
                        return True
        except psutil.Error:  # it has ended, or may not be looked at
            continue
    return False
