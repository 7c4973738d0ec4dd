"""Gangs that take turns."""

from __future__ import annotations

import threading

from sparkweave.spark.turns import turn


def test_gangs_that_fit_run_together_and_others_wait() -> None:
    running: list[str] = []
    entered, released = threading.Semaphore(0), {name: threading.Event() for name in "abc"}

    def run(name: str, workers: int) -> None:
        with turn(4, workers):
            running.append(name)
            entered.release()
            assert released[name].wait(30)
            running.remove(name)

    threads = {
        name: threading.Thread(target=run, args=(name, workers)) for name, workers in zip("abc", (2, 2, 3), strict=True)
    }
    for name in "ab":
        threads[name].start()
        assert entered.acquire(timeout=30)
    threads["c"].start()
    assert sorted(running) == ["a", "b"]
    released["a"].set()
    threads["a"].join()
    assert not entered.acquire(timeout=0.2), "3 workers do not fit beside 2 into 4 slots"
    released["b"].set()
    assert entered.acquire(timeout=30)
    assert running == ["c"]
    released["c"].set()
    for thread in threads.values():
        thread.join()


def test_one_alone_never_waits() -> None:
    with turn(1, 5):
        pass
