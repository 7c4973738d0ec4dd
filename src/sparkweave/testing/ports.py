"""Free ports on loopback, outside the range from which the system itself hands out ports."""

from __future__ import annotations

import contextlib
import random
import socket

LOOPBACK = "127.0.0.1"
_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """``count`` different ports that nobody listens on; no outgoing connection takes them in the meantime."""
    chooser = random.SystemRandom()
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = chooser.choice(_RANGE)
            listener = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listener.bind((LOOPBACK, port))
                ports.append(port)
        return ports


def is_listening(port: int) -> bool:
    """Whether somebody answers on a port of loopback."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((LOOPBACK, port)) == 0
