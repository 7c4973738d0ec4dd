from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tests.unit.cli.conftest import ENDED, EPOCH, STARTED

from sparkweave.cli.progress import Progress
from sparkweave.events import IterationEnded, Resharded, Restarted

if TYPE_CHECKING:
    import pytest


def iteration(step: int, rank: int = 0, epoch: int = 1) -> IterationEnded:
    return IterationEnded(epoch=epoch, step=step, steps=10, rank=rank, loss=0.25, images_per_second=100.0)


def test_a_bar_follows_the_first_worker(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(bar=True)
    progress.on_run_start(STARTED)
    progress.on_iteration(iteration(5))
    progress.on_iteration(iteration(7, rank=1))
    assert progress._bar is not None
    assert (progress._bar.n, progress._bar.total) == (5, 20)
    progress.on_epoch_end(EPOCH)
    assert progress._bar.n == 10
    progress.on_run_end(ENDED)
    assert progress._bar is None
    assert "loss 0.2500, 200 images/s" in capsys.readouterr().err


def test_every_nth_loss_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(log_every=5, bar=False)
    for step in range(1, 11):
        progress.on_iteration(iteration(step))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"epoch 1 step {step}/10 worker 0: loss 0.2500" for step in (5, 10)]


def test_iterations_are_counted_over_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(log_every=15, bar=False)
    for epoch in (1, 2, 3):
        for step in range(1, 11):
            progress.on_iteration(iteration(step, epoch=epoch))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"epoch {epoch} step {step}/10 worker 0: loss 0.2500" for epoch, step in ((2, 5), (3, 10))]


def test_a_restart_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(bar=False).on_restart(Restarted(epoch=3, attempt=2, restarts_left=1, reason="worker 1 \x1b[1mdied"))
    assert capsys.readouterr().err == "Running again from epoch 3 (attempt 2, 1 restarts left): worker 1 �[1mdied\n"


def test_a_run_that_goes_on_with_fewer_workers_says_so_and_the_bar_follows(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(bar=True)
    progress.on_run_start(STARTED)
    progress.on_reshard(Resharded(epoch=1, workers=1, workers_before=2, steps_per_epoch=25))
    assert progress._bar is not None
    assert (progress._bar.n, progress._bar.total) == (25, 50)
    progress.on_epoch_end(dataclasses.replace(EPOCH, epoch=2))
    assert progress._bar.n == 50
    progress.close()
    line = "Going on after epoch 1 with 1 of 2 workers, 25 steps an epoch: executors were lost, and no others came"
    assert line in capsys.readouterr().err


def test_a_straggler_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(bar=False)
    for epoch in (1, 2):
        slow = dataclasses.replace(EPOCH, epoch=epoch, straggler="worker 1 on node7", straggler_factor=3.04)
        progress.on_epoch_end(slow)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "node7" in line] == [
        "worker 1 on node7 takes 3.0 times as long to compute as the others, who wait for it: what else runs there?"
    ]
    assert len(lines) == 3
