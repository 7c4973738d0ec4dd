from __future__ import annotations

import threading

import pytest

from sparkweave.export import outbox as module
from sparkweave.export.outbox import Outbox


def test_calls_are_made_in_their_order_by_one_thread_that_ends_with_them() -> None:
    outbox, made, threads = Outbox("it"), [], set()

    def call(number: int) -> None:
        made.append(number)
        threads.add(threading.current_thread())

    for number in range(100):
        outbox.put(lambda number=number: call(number))
    assert outbox.wait(60)
    assert made == list(range(100))
    assert threading.current_thread() not in threads
    outbox.put(lambda: call(100))
    assert outbox.wait(60)
    assert made[-1] == 100
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_what_a_call_raises_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    outbox, made = Outbox("The server"), []
    outbox.put(lambda: 1 // 0)
    outbox.put(lambda: made.append(1))
    assert outbox.wait(60)
    assert made == [1]
    assert "The server was not told: integer division" in caplog.text


def test_nobody_waits_longer_than_told_for_a_call_that_does_not_end() -> None:
    outbox, answering = Outbox("it"), threading.Event()
    assert outbox.wait(0.01), "nothing was put"
    outbox.put(answering.wait)
    assert not outbox.wait(0.01)
    answering.set()
    assert outbox.wait(60)


def test_the_oldest_are_dropped_where_too_many_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    outbox, answering, begun, made = Outbox("The server"), threading.Event(), threading.Event(), []
    outbox.put(lambda: begun.set() or answering.wait())
    begun.wait()
    for number in range(5):
        outbox.put(lambda number=number: made.append(number))
    answering.set()
    assert outbox.wait(60)
    assert made == [2, 3, 4]
    assert caplog.text.count("the oldest are dropped") == 1
