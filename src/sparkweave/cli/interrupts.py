"""Ctrl-C and SIGTERM: the jobs are cancelled, Spark is stopped, and nothing is left behind.

The work runs in a thread of its own while the main thread waits for signals. Python raises KeyboardInterrupt wherever the main
thread happens to be; in the middle of a call to the JVM that would break its connection, and the end of the command with it.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from sparkweave.cli.console import mute

_LOOK_SECONDS = 0.5
_GRACE_SECONDS = 5.0
_on_interrupt: Callable[[], object] | None = None
_finish: Callable[[], None] | None = None
_is_interrupted = False


@contextlib.contextmanager
def on_interrupt(action: Callable[[], object]) -> Iterator[None]:
    """Inside, an interrupt calls ``action``, in the main thread, and waits for nothing else: no Spark runs in this process.

    What returns True has ended the work as it should end, and the command goes on as if nobody had interrupted it.
    """
    global _on_interrupt
    _on_interrupt = action
    try:
        yield
    finally:
        _on_interrupt = None


@contextlib.contextmanager
def interrupts_raised() -> Iterator[None]:
    """Inside, what fails because an interrupt stopped Spark is raised as KeyboardInterrupt, so that contexts know why they end."""
    try:
        yield
    except Exception as error:
        if _is_interrupted:
            raise KeyboardInterrupt from error
        raise


@contextlib.contextmanager
def finishing_on_interrupt(action: Callable[[], None]) -> Iterator[None]:
    """Inside, the first interrupt calls ``action``, which lets the work come to its own end; a second one doesn't wait for it."""
    global _finish
    _finish = action
    try:
        yield
    finally:
        _finish = None


def run_interruptibly(work: Callable[[], None]) -> None:
    """Runs ``work`` to its end, and raises what it raises.

    Raises:
        KeyboardInterrupt: if Ctrl-C or SIGTERM came first; Spark is stopped by then.
    """
    global _is_interrupted
    _is_interrupted = False
    errors: list[BaseException] = []
    done = threading.Event()  # a join that an interrupt cuts short takes the thread for ended

    def body() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the main thread
            errors.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=body, name="sparkweave-command", daemon=True)
    with _terminate_as_interrupt():
        try:
            _run_to_its_end(thread, done)
        except KeyboardInterrupt:
            _is_interrupted = True
            if _on_interrupt is None:
                with mute():
                    _stop_spark()
                    done.wait(_GRACE_SECONDS)
                raise
            if _on_interrupt() is not True or not done.wait(_GRACE_SECONDS):
                raise
    if errors:
        raise errors[0]


def _run_to_its_end(thread: threading.Thread, done: threading.Event) -> None:
    global _finish
    begun = False
    while True:
        try:
            if not begun:
                begun = True
                thread.start()  # an interrupt may come while it waits for the thread
            while not done.wait(_LOOK_SECONDS):
                pass
        except KeyboardInterrupt:
            if _finish is None or thread.ident is None:
                raise
            finish, _finish = _finish, None
            finish()
        else:
            return


def _stop_spark() -> None:
    pyspark = sys.modules.get("pyspark")
    context = pyspark.SparkContext._active_spark_context if pyspark else None
    if context is not None:
        with contextlib.suppress(Exception):
            context.cancelAllJobs()
            context.stop()


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    def handler(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # embedded, where signals are somebody else's
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
