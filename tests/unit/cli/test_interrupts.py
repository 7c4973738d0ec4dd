from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sparkweave.cli.console import say
from sparkweave.cli.interrupts import finishing_on_interrupt, interrupts_raised, run_interruptibly
from sparkweave.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell starts its background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_what_the_work_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_interruptibly(fail)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_and_silences_the_work(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait(10)
        say("Running again")

    threading.Thread(target=interrupt_after(begun, end, number)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work)
    assert time.monotonic() - began < 5
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("interruptible")
def test_what_fails_because_of_an_interrupt_is_an_interrupt() -> None:
    begun, end = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def work() -> None:
        begun.set()
        end.wait(10)
        try:
            with interrupts_raised():
                raise WorkerError("the Spark session ended during training")
        except BaseException as error:
            raised.append(error)
            raise

    threading.Thread(target=interrupt_after(begun, end, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work)
    assert [type(error) for error in raised] == [KeyboardInterrupt]


def test_what_fails_of_itself_stays_what_it_is() -> None:
    def work() -> None:
        with interrupts_raised():
            raise WorkerError("lost")

    with pytest.raises(WorkerError, match="lost"):
        run_interruptibly(work)


@pytest.mark.usefixtures("interruptible")
def test_work_that_can_finish_comes_to_its_own_end() -> None:
    begun, end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert end.wait(10)
        ended.set()

    threading.Thread(target=interrupt_after(begun, threading.Event(), signal.SIGTERM)).start()
    with finishing_on_interrupt(end.set):
        run_interruptibly(work)
    assert ended.is_set()


def test_the_handler_of_the_process_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_interruptibly(lambda: None)
    assert signal.getsignal(signal.SIGTERM) is before


def interrupt_after(begun: threading.Event, end: threading.Event, number: signal.Signals) -> Callable[[], None]:
    def body() -> None:
        begun.wait(10)
        signal.pthread_kill(threading.main_thread().ident or 0, number)
        time.sleep(1)
        end.set()

    return body
