"""Callbacks."""

from __future__ import annotations

import io

import pytest

from sparkweave.events import EpochEnded, Evaluated, Event, IterationEnded, Resharded, Restarted, RunEnded, RunStarted
from sparkweave.training.callbacks import Callback, LossLogger, dispatch

EVENTS: dict[str, Event] = {
    "on_run_start": RunStarted(
        examples=10,
        classes=2,
        workers=1,
        epochs=1,
        first_epoch=1,
        steps_per_epoch=1,
        parameters=3,
        strategy="s",
        network="n",
    ),
    "on_iteration": IterationEnded(epoch=2, step=3, steps=7, rank=0, loss=0.5, images_per_second=9.0),
    "on_epoch_end": EpochEnded(
        epoch=1,
        epochs=1,
        loss=0.5,
        accuracy=0.5,
        examples=10,
        images_per_second=1.0,
        seconds=1.0,
        data_seconds=0.1,
        compute_seconds=0.8,
        communication_seconds=0.1,
        bytes_sent=0,
        learning_rate=0.1,
    ),
    "on_evaluation": Evaluated(epoch=1, accuracy=0.5, loss=0.5, examples=10, seconds=1.0),
    "on_restart": Restarted(epoch=1, attempt=2, restarts_left=1, reason="r"),
    "on_reshard": Resharded(epoch=1, workers=1, workers_before=2, steps_per_epoch=3),
    "on_run_end": RunEnded(epochs=1, seconds=1.0, examples=10, images_per_second=10.0),
}


@pytest.mark.parametrize("method", EVENTS)
def test_an_event_reaches_its_method_of_every_callback_and_no_other(method: str) -> None:
    called: list[tuple[int, str, Event]] = []

    def recorder(number: int) -> Callback:
        callback = Callback()
        for name in EVENTS:
            setattr(callback, name, lambda event, name=name: called.append((number, name, event)))
        return callback

    dispatch([recorder(1), recorder(2), Callback()], EVENTS[method])
    assert called == [(1, method, EVENTS[method]), (2, method, EVENTS[method])]


def test_the_loss_logger_prints_every_nth_iteration_of_worker_0() -> None:
    file = io.StringIO()
    logger = LossLogger(every=5, file=file)
    for epoch in (1, 2):
        for step in range(1, 8):
            for rank in (0, 1):
                loss = epoch + step / 10 + rank * 100
                logger.on_iteration(
                    IterationEnded(epoch=epoch, step=step, steps=7, rank=rank, loss=loss, images_per_second=1.0)
                )
    assert file.getvalue().splitlines() == ["Loss at iteration 5 is 1.500000", "Loss at iteration 10 is 2.300000"]


def test_the_loss_logger_prints_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    dispatch([LossLogger(every=1)], EVENTS["on_iteration"])
    assert capsys.readouterr().err == "Loss at iteration 10 is 0.500000\n"
