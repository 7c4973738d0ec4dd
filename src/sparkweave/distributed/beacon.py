"""Who answers on a port, how fast, and what time it is there: a server that tells its time, and who asks it.

The offset of two clocks comes from the round trip, as in NTP: the answer's time is compared with the middle of question and answer. So
it is exact to half of the round trip, which is a fraction of a millisecond between neighbours.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import threading
import time
from collections.abc import Callable, Iterator

from sparkweave.distributed.listening import listen
from sparkweave.distributed.network import Ports
from sparkweave.distributed.reading import read_whole

_ROUNDS = 5
_LONGEST_LINE = 256
_IDLE_SECONDS = 30.0
_FIRST_BYTES = 8  # as many as gloo begins with, which it must get in one piece

Other = Callable[[socket.socket, bytes], None]
"""Takes a connection over, with the first bytes that were read from it."""


class Beacon:
    """Answers whoever knows the token with the time, and nobody else. See `beacon`.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, listener: socket.socket, token: str, other: Other | None) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._other = other
        self._question = f"{token}\n".encode()
        self._callers = 0
        self._called = threading.Condition()

    def await_callers(self, count: int, *, seconds: float) -> bool:
        """Whether ``count`` who know the token have called and hung up by now, or do so within ``seconds``."""
        with self._called:
            return self._called.wait_for(lambda: self._callers >= count, seconds)

    def serve(self) -> None:
        """Returns when the listener is shut down."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except ConnectionAbortedError:  # the caller thought better of it
                continue
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        answered = 0
        with contextlib.suppress(OSError), connection:
            connection.settimeout(_IDLE_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            expected = self._question[:_FIRST_BYTES]
            first = read_whole(connection, len(expected))
            if self._other is not None and first != expected:
                self._other(connection, first)
                return
            question = first + read_whole(connection, len(self._question) - len(first))
            while hmac.compare_digest(question, self._question):
                connection.sendall(f"{time.time()!r}\n".encode())
                answered += 1
                question = read_whole(connection, len(self._question))
        if answered:
            with self._called:
                self._callers += 1
                self._called.notify_all()


@contextlib.contextmanager
def beacon(host: str, token: str, ports: Ports | None = None, other: Other | None = None) -> Iterator[Beacon]:
    """Answers calls while the context lasts.

    Args:
        host: The address to listen on.
        token: Of one examination, without line breaks.
        ports: Where to listen; None leaves it to the system.
        other: Is handed connections that don't begin as the token does, each in a thread of its own; None cuts them off.

    Raises:
        ResourceError: if no port of ``ports`` can be had.
    """
    with listen(host, ports) as listener:
        found = Beacon(listener, token, other)
        thread = threading.Thread(target=found.serve, name="sparkweave-beacon", daemon=True)
        thread.start()
        try:
            yield found
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends the wait for a connection, which closing would not
            thread.join()


def ask(host: str, port: int, token: str, *, seconds: float) -> dict[str, float | str | None]:
    """Calls a beacon.

    Args:
        host: Where it is.
        port: Where it listens.
        token: The one that it knows.
        seconds: For all of it.

    Returns:
        ``seconds`` of the quickest round trip, the ``offset`` of the clock there, and the ``error`` if there was one; see
        `sparkweave.deploy.doctor.facts.Contact`.
    """
    deadline = time.monotonic() + seconds
    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            took, offset = min(_ask_once(connection, token, deadline) for _ in range(_ROUNDS))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return {"seconds": None, "offset": None, "error": reason}
    return {"seconds": took, "offset": offset, "error": None}


def _ask_once(connection: socket.socket, token: str, deadline: float) -> tuple[float, float]:
    """How long it took, and how far the clock there is ahead."""
    asked, began = time.time(), time.perf_counter()
    connection.sendall(f"{token}\n".encode())
    answer = _read_line(connection, deadline)
    took = time.perf_counter() - began
    return took, float(answer) - (asked + took / 2)


def _read_line(connection: socket.socket, deadline: float) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(_LONGEST_LINE - len(line))
        if not part:
            raise ConnectionError("something else answered, or the connection was cut")
        line += part
    return bytes(line)
