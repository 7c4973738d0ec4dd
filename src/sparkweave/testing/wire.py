"""A long wire in user space, for kernels without netem: ``python -m sparkweave.testing.wire NEAR FAR SECONDS``.

Frames that come in at the interface NEAR leave from FAR so many seconds later, and those from FAR leave from NEAR at once. Both
interfaces must be up. It says a line when it is ready, and ends with its standard input.
"""

from __future__ import annotations

import collections
import contextlib
import select
import socket
import sys
import time
from typing import Any, BinaryIO

# Of <linux/if_ether.h>, <linux/if_packet.h> and <asm/socket.h>; the module socket has none of them.
_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_VNET_HDR = 15
_PACKET_IGNORE_OUTGOING = 23
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33

_BUFFER_BYTES = 8 << 20
_LONGEST_FRAME = 1 << 17


def carry(near: socket.socket, far: socket.socket, seconds: float, until: BinaryIO) -> None:
    """Carries frames until ``until`` has something to read, or ends."""
    sources: list[Any] = [near, far, until]
    held: collections.deque[tuple[float, bytes]] = collections.deque()
    while True:
        wait = max(0.0, held[0][0] - time.monotonic()) if held else None
        ready, _, _ = select.select(sources, [], [], wait)
        if until in ready:
            return
        if far in ready:
            _send(near, far.recv(_LONGEST_FRAME))
        if near in ready:
            held.append((time.monotonic() + seconds, near.recv(_LONGEST_FRAME)))
        while held and held[0][0] <= time.monotonic():
            _send(far, held.popleft()[1])


def open_interface(name: str) -> socket.socket:
    """A socket for the frames that come in at an interface.

    Raises:
        OSError: if there is none of that name, or no right to its frames.
    """
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    # Frames between machines of one kernel may be longer than any real one and lack their checksums; this header says so.
    opened.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    with contextlib.suppress(PermissionError):
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        opened.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
    opened.bind((name, _ETH_P_ALL))
    return opened


def _send(to: socket.socket, frame: bytes) -> None:
    with contextlib.suppress(OSError):  # its queue is full: the frame is lost, as on any wire
        to.send(frame, socket.MSG_DONTWAIT)


def main() -> None:
    """What the module does as a program."""
    near, far = map(open_interface, sys.argv[1:3])
    print("ready", flush=True)
    carry(near, far, float(sys.argv[3]), sys.stdin.buffer)


if __name__ == "__main__":
    main()
