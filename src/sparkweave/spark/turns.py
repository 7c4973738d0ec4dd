"""Gangs of one driver take turns where the session can't run them at once.

Spark lets a gang wait until it can start whole. Of two that wait, neither may get its slots as long as tasks of the other kind
come in between, and each one's silence would be counted meanwhile; so fits that run side by side (`CrossValidator` with
``parallelism``) ask here first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_changed = threading.Condition()
_running: list[int] = []


@contextmanager
def turn(slots: int, workers: int) -> Iterator[None]:
    """Waits until a gang of ``workers`` fits into ``slots`` beside those that run; one alone never waits."""
    with _changed:
        _changed.wait_for(lambda: not _running or sum(_running) + workers <= slots)
        _running.append(workers)
    try:
        yield
    finally:
        with _changed:
            _running.remove(workers)
            _changed.notify_all()
