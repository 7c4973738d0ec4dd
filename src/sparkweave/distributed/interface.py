"""Which network interface workers should talk over, so that gloo listens on one and no more."""

from __future__ import annotations

import dataclasses
import fcntl
import ipaddress
import os
import socket
import struct

from sparkweave.errors import ResourceError

CHOSEN_BY_NODE = "GLOO_SOCKET_IFNAME"
"""Gloo's own variable: a node's administrator may have set it."""

_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface, see netdevice(7)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interface:
    """A network interface of this host, and its IPv4 address."""

    name: str
    address: str


def choose_interface(subnet: str | None, towards: str) -> Interface | None:
    """The interface that this host's workers talk over, or None if it can't be told.

    Args:
        subnet: The interface's address must be in it; None takes what the node's administrator chose, or else what leads to
            the driver.
        towards: The driver: workers reach it, so the interface towards it is one that carries the cluster's traffic.

    Raises:
        ResourceError: if no interface has an address in ``subnet``.
    """
    addresses = interface_addresses()
    leading = interface_towards(towards)
    if subnet is None:
        name = os.environ.get(CHOSEN_BY_NODE, "").partition(",")[0] or leading
        return Interface(name=name, address=addresses[name]) if name in addresses else None
    network = ipaddress.IPv4Network(subnet, strict=False)
    fit = [name for name, address in addresses.items() if ipaddress.IPv4Address(address) in network]
    if not fit:
        listed = ", ".join(f"{name} {address}" for name, address in sorted(addresses.items()))
        raise ResourceError(
            f"host {socket.gethostname()} has no interface in the subnet {subnet}; its interfaces are {listed}. Give a --subnet in "
            "which every host has an address, or leave it out to use the interface that leads to the driver"
        )
    name = leading if leading in fit else min(fit)
    return Interface(name=name, address=addresses[name])


def interface_towards(host: str) -> str | None:
    """The interface whose address packets to ``host`` leave from, or None if that can't be told."""
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


def is_own(host: str) -> bool:
    """Whether ``host`` stands for an address of this machine."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
            trial.bind((host, 0))
    except OSError:
        return False
    return True


def _address_of(interface: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        try:
            reply = fcntl.ioctl(query.fileno(), _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            return None
    return socket.inet_ntoa(reply[20:24])
