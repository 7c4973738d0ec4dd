"""Calls to a server that may be slow or gone, made one after the other by a thread: who hands one over never waits for the server."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable

_LOG = logging.getLogger(__name__)
_MOST_WAITING = 1000


class Outbox:
    """What one server is to be told.

    There is a thread while something waits, and none otherwise. The process does not wait for it when it ends; see `wait`.

    Args:
        server: Its name, for warnings.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._waiting: collections.deque[Callable[[], object]] = collections.deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._made = 0
        self._dropped = 0

    def put(self, call: Callable[[], object]) -> None:
        """Hands a call over; what it raises is a warning. Where 1,000 wait, the oldest is dropped, and that is one, too."""
        with self._lock:
            if len(self._waiting) == _MOST_WAITING:
                self._waiting.popleft()
                if not self._dropped:
                    _LOG.warning(
                        "%s has not been told the last %d things; the oldest are dropped", self._server, _MOST_WAITING
                    )
                self._dropped += 1
            self._waiting.append(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._make, name="sparkweave-outbox", daemon=True)
                self._thread.start()

    def wait(self, patience_seconds: float) -> bool:
        """Whether all calls were made. Waits for them while the server answers, but never so long for one of them."""
        while (thread := self._thread) is not None:
            made = self._made
            thread.join(patience_seconds)
            if self._made == made:
                return self._thread is None
        return True

    def _make(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                call = self._waiting.popleft()
            try:
                call()
            except Exception as error:  # noqa: BLE001 - whatever a client of a server may raise
                _LOG.warning("%s was not told: %s", self._server, error)
            self._made += 1
