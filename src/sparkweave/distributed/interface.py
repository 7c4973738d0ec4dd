"""Which network interface workers should talk over, so that gloo listens on one and no more."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface, see netdevice(7)


def interface_towards(host: str) -> str | None:
    """The interface whose address packets to ``host`` leave from, or None if that can't be told.

    Workers reach the driver, so the interface towards it is one that carries the cluster's traffic.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # a UDP connect sends nothing; it only looks up the route
            address = probe.getsockname()[0]
    except OSError:
        return None
    return next((name for name, own in interface_addresses().items() if own == address), None)


def interface_addresses() -> dict[str, str]:
    """The IPv4 address of each interface that has one, by name."""
    found = {name: _address_of(name) for _, name in socket.if_nameindex()}
    return {name: address for name, address in found.items() if address is not None}


def _address_of(interface: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        try:
            reply = fcntl.ioctl(query.fileno(), _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            return None
    return socket.inet_ntoa(reply[20:24])
