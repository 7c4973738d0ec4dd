"""Who answers on a port, how fast, and what time it is there: a server that tells its time, and who asks it.

The offset of two clocks comes from the round trip, as in NTP: the answer's time is compared with the middle of question and answer. So
it is exact to half of the round trip, which is a fraction of a millisecond between neighbours.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

_ROUNDS = 5
_LONGEST_LINE = 256
_IDLE_SECONDS = 30.0


@contextlib.contextmanager
def beacon(host: str, token: str) -> Iterator[int]:
    """Answers whoever knows ``token`` with the time, and nobody else, while the context lasts.

    Args:
        host: The address to listen on.
        token: Of one examination, without line breaks.

    Yields:
        The port.
    """
    with _Beacon((host, 0), token) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="sparkweave-beacon", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def ask(host: str, port: int, token: str, *, seconds: float) -> dict[str, float | str | None]:
    """Calls a beacon.

    Returns:
        The fields of `sparkweave.deploy.doctor.facts.Contact`, without the rank.
    """
    try:
        with (
            socket.create_connection((host, port), timeout=seconds) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            rounds = []
            for _ in range(_ROUNDS):
                asked, began = time.time(), time.perf_counter()
                connection.sendall(f"{token}\n".encode())
                answer = answers.readline(_LONGEST_LINE)
                took = time.perf_counter() - began
                if not answer.endswith(b"\n"):
                    raise ConnectionError("something else answered, or the connection was cut")
                rounds.append((took, float(answer) - (asked + took / 2)))
    except (OSError, ValueError) as error:
        return {"seconds": None, "offset": None, "error": str(error) or type(error).__name__}
    took, offset = min(rounds)
    return {"seconds": took, "offset": offset, "error": None}


class _Beacon(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], token: str) -> None:
        self.token = token.encode()
        super().__init__(address, _Answer)


class _Answer(socketserver.StreamRequestHandler):
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True

    def handle(self) -> None:
        assert isinstance(self.server, _Beacon)
        with contextlib.suppress(OSError):
            while line := self.rfile.readline(_LONGEST_LINE):
                if not hmac.compare_digest(line.rstrip(b"\n"), self.server.token):
                    return
                self.wfile.write(f"{time.time()!r}\n".encode())
