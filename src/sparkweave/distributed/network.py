"""What a user says of the network between driver and workers, checked once, on the driver."""

from __future__ import annotations

import dataclasses
import ipaddress

from sparkweave.config import require_choice
from sparkweave.distributed.interface import is_own
from sparkweave.errors import ConfigError

Ports = tuple[int, int]
"""The first and the last port of a range."""

TRANSPORTS = ("collective", "spark")
_LAST_PORT = 65535


@dataclasses.dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the driver's channel is.

    Attributes:
        host: The name or address that workers call.
        bind: The address to listen on.
        ports: Where to listen; None leaves it to the system.
    """

    host: str
    bind: str
    ports: Ports | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """How workers reach each other and the driver. Nothing here changes the model.

    Attributes:
        ports: First and last of the TCP ports that are listened on: by the driver, for its channel, and by each worker that
            another machine's workers call. A host needs one for each worker that runs there at a time, and the driver's one more.
            None leaves them to the system. NCCL's own connections can't be kept in a range, so that workers on GPUs refuse it.
        subnet: Such as ``10.27.0.0/16``: on each host workers use the interface whose IPv4 address is in it. None uses the
            interface that leads to the driver.
        controller: ``HOST`` or ``HOST:PORT``: what workers call the driver's channel by, if not ``spark.driver.host`` and a
            port of ``ports``.
        transport: ``collective`` sends tensors from worker to worker, by gloo or NCCL. ``spark`` sends them through
            Spark's own connections to the driver and back, as protected as these are, and needs no connection between
            workers; each operation takes a second or more.
        allow_plaintext: Send tensors from worker to worker unprotected, even though the session protects its own connections.

    Raises:
        ConfigError: if one of them breaks its rule.

    Example:
        >>> Network(ports=(47000, 47100), subnet="10.27.0.0/16").controller_host is None
        True
    """

    ports: Ports | None = None
    subnet: str | None = None
    controller: str | None = None
    transport: str = "collective"
    allow_plaintext: bool = False

    def __post_init__(self) -> None:
        if self.ports is not None:
            _require_ports(self.ports)
        if self.subnet is not None:
            _require_subnet(self.subnet)
        if self.controller is not None:
            _controller(self.controller)
        require_choice("transport", self.transport, TRANSPORTS)

    @property
    def controller_host(self) -> str | None:
        """The host that ``controller`` names."""
        return None if self.controller is None else _controller(self.controller)[0]

    def endpoint(self, driver: str, bind: str | None) -> Endpoint:
        """Where the driver listens and is called. A controller that is not an address of this machine leads here by some way.

        Args:
            driver: ``spark.driver.host``.
            bind: ``spark.driver.bindAddress``, if that is set.
        """
        if self.controller is None:
            return Endpoint(host=driver, bind=bind or driver, ports=self.ports)
        host, port = _controller(self.controller)
        listened_on = host if is_own(host) else bind or driver
        return Endpoint(host=host, bind=listened_on, ports=self.ports if port is None else (port, port))


DIRECT = Network()
"""From worker to worker, over the interface that leads to the driver."""


def parse_ports(text: str) -> Ports:
    """The range that ``text`` stands for.

    Raises:
        ConfigError: if it is none.

    Example:
        >>> parse_ports("47000-47100"), parse_ports("47000")
        ((47000, 47100), (47000, 47000))
    """
    first, dash, last = text.strip().partition("-")
    if not (text.isascii() and first.isdecimal() and (last.isdecimal() or not dash)):
        raise ConfigError(f"{text!r} is no range of ports; write it as FIRST-LAST, such as 47000-47100, or as one port")
    ports = int(first), int(last if dash else first)
    _require_ports(ports)
    return ports


def show_ports(ports: Ports) -> str:
    """As `parse_ports` takes it."""
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"


def _require_ports(ports: Ports) -> None:
    first, last = ports
    if not 0 < first <= last <= _LAST_PORT:
        raise ConfigError(
            f"the ports are {first} to {last}; the first must not be greater than the last, and both be from 1 to {_LAST_PORT}"
        )


def _require_subnet(subnet: str) -> None:
    try:
        ipaddress.IPv4Network(subnet, strict=False)
    except ValueError as error:
        raise ConfigError(f"subnet is {subnet!r}; it must be an IPv4 network such as 10.27.0.0/16 ({error})") from error


def _controller(text: str) -> tuple[str, int | None]:
    host, colon, port = text.partition(":")
    if not host or any(sign.isspace() for sign in host) or (colon and not port.isdecimal()):
        raise ConfigError(f"controller is {text!r}; it must be HOST or HOST:PORT, such as 10.27.0.1 or gateway:47000")
    if colon:
        _require_ports((int(port), int(port)))
    return host, int(port) if colon else None
