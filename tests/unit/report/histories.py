"""Histories as runs leave them, made up: what is slow, lost or strange in them is asked for."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from sparkweave.events import (
    EpochEnded,
    Evaluated,
    Event,
    Resharded,
    Restarted,
    RunEnded,
    RunStarted,
    StepMeasured,
    to_record,
)

BEGAN = 1_790_000_000.0
OPTIONS = {
    "augment": ["crop:2"],
    "batch_size": 64,
    "counts": {str(label): 600 for label in range(10)},
    "epochs": 12,
    "learning_rate": 0.001,
    "network": {"name": "lenet", "layers": [{"Conv2d": {"out_channels": 20}}, "ReLU"]},
    "optimizer": "adam",
    "optimizer_options": {},
    "strategy": {"name": "gradient-sharing", "threshold": 0.001},
}


def records(**options: Any) -> list[dict[str, Any]]:
    """What `made_up` tells, as a file has it."""
    return [to_record(event) for event in made_up(**options)]


def made_up(
    *,
    workers: int = 3,
    epochs: int = 12,
    steps: int = 100,
    every: int = 5,
    slow: int | None = 2,
    slow_from: int = 5,
    evaluated: int = 2,
    restarted: int | None = 7,
    resharded: int | None = None,
    shares: bool = True,
) -> Iterator[Event]:
    """A run that learns; worker ``slow`` has company from epoch ``slow_from`` on."""
    chance = random.Random(workers * epochs)
    yield started(workers=workers, epochs=epochs, steps_per_epoch=steps)
    now = BEGAN
    for epoch in range(1, epochs + 1):
        if epoch == restarted:
            yield Restarted(epoch=epoch - 1, attempt=2, restarts_left=2, reason="worker 1 on node-b.cluster was lost")
            now += 9
        if epoch == resharded:
            yield Resharded(epoch=epoch - 1, workers=workers - 1, workers_before=workers, steps_per_epoch=steps)
            workers -= 1
        straggling = slow is not None and epoch >= slow_from
        measured = []
        for step in range(1, steps + 1):
            busy = [_busy(chance, rank, epoch, step, slow=rank == slow and straggling) for rank in range(workers)]
            longest = max(map(sum, busy)) + 0.004
            if every and (step - 1) % every == 0:
                measured += [
                    _measured(chance, epoch, step, rank, now, parts, longest, shares=shares, workers=workers)
                    for rank, parts in enumerate(busy)
                ]
            now += longest
        yield from measured
        yield _epoch_ended(chance, epoch, epochs, steps, workers, slow if straggling else None)
        if evaluated and (epoch % evaluated == 0 or epoch == epochs):
            accuracy = 0.985 - 0.4 * math.exp(-epoch / 2.2) + chance.uniform(-0.004, 0.004)
            yield Evaluated(
                epoch=epoch, accuracy=accuracy, loss=0.06 + 1.3 * math.exp(-epoch / 2), examples=1000, seconds=0.7
            )
            now += 0.7
    yield RunEnded(epochs=epochs, seconds=now - BEGAN, examples=6000 * epochs, images_per_second=4400.0)


def started(**fields: Any) -> RunStarted:
    usual = {
        "examples": 6000,
        "classes": 10,
        "workers": 3,
        "epochs": 12,
        "first_epoch": 1,
        "steps_per_epoch": 100,
        "parameters": 431_080,
        "strategy": "gradient-sharing",
        "network": "lenet",
    }
    return RunStarted(**{**usual, **fields})


def step_measured(**fields: Any) -> StepMeasured:
    usual = {
        "epoch": 1,
        "step": 1,
        "rank": 0,
        "host": "node-a.cluster",
        "time": BEGAN,
        "seconds": 0.03,
        "data_seconds": 0.001,
        "compute_seconds": 0.02,
        "encode_seconds": 0.002,
        "wait_seconds": 0.006,
        "apply_seconds": 0.001,
        "bytes_sent": 20_000,
        "bytes_received": 40_000,
    }
    return StepMeasured(**{**usual, **fields})


def epoch_ended(**fields: Any) -> EpochEnded:
    usual = {
        "epoch": 1,
        "epochs": 12,
        "loss": 1.5,
        "accuracy": 0.6,
        "examples": 6000,
        "images_per_second": 4000.0,
        "seconds": 1.5,
        "data_seconds": 0.1,
        "compute_seconds": 1.1,
        "communication_seconds": 0.3,
        "bytes_sent": 41_383_680,
        "learning_rate": 0.001,
    }
    return EpochEnded(**{**usual, **fields})


def _busy(chance: random.Random, rank: int, epoch: int, step: int, *, slow: bool) -> tuple[float, ...]:
    """Seconds of data, compute, encode and apply."""
    compute = chance.gauss(0.021 + 0.0007 * rank, 0.0012) * (1.9 if slow else 1.0)
    if (epoch, step) == (1, 1):
        compute += 0.4
    return abs(chance.gauss(0.0012, 0.0005)), compute, abs(chance.gauss(0.0024, 0.0003)), 0.0011


def _measured(
    chance: random.Random,
    epoch: int,
    step: int,
    rank: int,
    now: float,
    parts: tuple[float, ...],
    longest: float,
    *,
    shares: bool,
    workers: int,
) -> StepMeasured:
    data, compute, encode, apply = parts
    fraction = 0.012 * math.exp(-epoch / 6) * chance.uniform(0.8, 1.25)
    sent = int(fraction * 431_080 * 4) * (workers - 1) if shares else 862_160
    return step_measured(
        epoch=epoch,
        step=step,
        rank=rank,
        host=f"node-{'abcd'[rank % 4]}.cluster",
        time=now + chance.uniform(0, 0.0008),
        seconds=longest,
        data_seconds=data,
        compute_seconds=compute,
        encode_seconds=encode if shares else 0.0,
        wait_seconds=longest - sum(parts) + (0.0 if shares else encode),
        apply_seconds=apply,
        bytes_sent=sent,
        bytes_received=int(sent * chance.uniform(0.9, 1.1)),
        sent_fraction=fraction if shares else None,
        threshold=0.001 * (1 + 0.5 * math.sin(epoch + step / 100)) if shares else None,
        residual_norm=0.4 + 0.3 * (1 - math.exp(-epoch / 3)) + chance.uniform(-0.02, 0.02) if shares else None,
    )


def _epoch_ended(
    chance: random.Random, epoch: int, epochs: int, steps: int, workers: int, slow: int | None
) -> EpochEnded:
    seconds = steps * (0.03 if slow is None else 0.045)
    return epoch_ended(
        epoch=epoch,
        epochs=epochs,
        loss=0.02 + 1.6 * math.exp(-epoch / 2) + chance.uniform(0, 0.01),
        accuracy=0.998 - 0.55 * math.exp(-epoch / 2),
        images_per_second=6000 / seconds,
        seconds=seconds,
        data_seconds=steps * 0.0012,
        compute_seconds=steps * 0.023,
        communication_seconds=seconds - steps * 0.0242,
        bytes_sent=int(steps * workers * 24_000 * math.exp(-epoch / 6)),
        learning_rate=0.0005 * (1 + math.cos(math.pi * epoch / epochs)),
        straggler=f"worker {slow} on node-c.cluster" if slow is not None else "",
        straggler_factor=1.9 if slow is not None else 1.0,
    )
