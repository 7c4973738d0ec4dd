"""What each strategy sends, what that does to the accuracy, and what it costs: LeNet, with workers that only a collective connects.

Up to 4 workers are processes over gloo on loopback; more are simulated as threads of one process, so their times mean nothing.
All workers together take 256 images a step, whatever their number.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.command import heading, journal, parser, settings
from benchmarks.comparison import figure, say, table
from benchmarks.images import read_arrays
from benchmarks.loops import DEVIATION, MEAN
from benchmarks.workers import Seat, Workers
from sparkweave.config import TrainingConfig
from sparkweave.data.batches import Normalization
from sparkweave.data.shard import Shard
from sparkweave.distributed.collective import Collective
from sparkweave.distributed.in_process import run_gang
from sparkweave.distributed.torch_collective import torch_collective
from sparkweave.networks import build_network, describe_network
from sparkweave.strategies import AllReduce, GradientSharing, ParameterAveraging, Strategy
from sparkweave.training.loop import EpochTally, Progress, train_segment
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask

HEADER = (
    "strategy",
    "workers",
    "accuracy: mean (each seed)",
    "points lost",
    "bytes a worker and step",
    "fewer than all-reduce",
    "seconds",
    "of it exchanging",
)
BATCH = 256
_PROCESSES = 4
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Row:
    """One way to keep workers the same."""

    key: str
    strategy: Strategy
    needs_torch: bool = False


ROWS = [
    Row("all-reduce", AllReduce()),
    Row("all-reduce-fp16", AllReduce(compression="fp16"), needs_torch=True),
    Row("all-reduce-powersgd", AllReduce(compression="powersgd"), needs_torch=True),
    *(Row(f"averaging-{every}", ParameterAveraging(averaging_frequency=every)) for every in (1, 5, 20, 100, 500)),
    Row("averaging-5-bfloat16", ParameterAveraging(averaging_precision="bfloat16")),
    *(
        Row(f"averaging-{every}-nesterov", ParameterAveraging(averaging_frequency=every, outer_optimizer="nesterov"))
        for every in (20, 100, 500)
    ),
    Row("sharing", GradientSharing()),
    Row("sharing-sparser", GradientSharing(target_sparsity=0.015)),
    Row("sharing-stale", GradientSharing(staleness=1)),
    Row("sharing-every-step", GradientSharing(exchange_frequency=1, target_sparsity=0.01)),
    Row("sharing-every-step-adaptive", GradientSharing(exchange_frequency=1, threshold_algorithm="adaptive")),
    Row("sharing-every-step-fixed", GradientSharing(exchange_frequency=1, threshold_algorithm="fixed")),
]


def main() -> None:
    options = _options()
    log = journal(options)
    rows = [row for row in ROWS if not options.only or row.key in options.only]
    print(heading("Communication", options), flush=True)
    lines = []
    with tempfile.TemporaryDirectory(prefix="sparkweave-benchmark-") as folder:
        prepare(options, folder)
        for workers in options.workers:
            dense: list[dict[str, Any]] = []
            for row in rows:
                if row.needs_torch and workers > _PROCESSES:
                    continue
                runs = [
                    log.take(_key(row, workers, seed, options), _measure(row, workers, seed, folder, options))
                    for seed in options.seeds
                ]
                dense = dense or runs
                lines.append(_cells(row, workers, runs, dense))
                say("| " + " | ".join(lines[-1]) + " |")
    print(table(HEADER, lines), flush=True)


def _options() -> argparse.Namespace:
    arguments = parser("communication", __doc__, rounds=1)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument("--optimizer", default="adam")
    arguments.add_argument("--momentum", type=float, help="Nesterov's, of an optimizer that has it")
    arguments.add_argument("--learning-rate", type=float, default=2.5e-3)
    arguments.add_argument("--schedule", default="one-cycle")
    arguments.add_argument("--only", nargs="+", metavar="ROW", choices=[row.key for row in ROWS])
    return arguments.parse_args()


def _key(row: Row, workers: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    kept = {name: value for name, value in settings(options).items() if name not in ("seeds", "workers")}
    return {"row": row.key, "strategy": repr(row.strategy), "workers": workers, "seed": seed, **kept}


def _measure(
    row: Row, workers: int, seed: int, folder: str, options: argparse.Namespace
) -> Callable[[], dict[str, Any]]:
    config = TrainingConfig(
        epochs=options.epochs,
        batch_size=BATCH // workers,
        optimizer=options.optimizer,
        optimizer_options={"momentum": options.momentum, "nesterov": True} if options.momentum else {},
        learning_rate=options.learning_rate,
        schedule=options.schedule,
        seed=seed,
    )
    arguments: dict[str, Any] = {"folder": folder, "strategy": row.strategy, "config": config}

    def measure() -> dict[str, Any]:
        if workers > _PROCESSES:
            torch.set_num_threads(1)
            outcomes = run_gang(workers, functools.partial(train, **arguments), timeout_seconds=600)
        else:
            with Workers(workers) as gang:
                outcomes = list(gang.run(train_process, **arguments))
        measured = _summary(outcomes)
        say(f"{row.key}, {workers} workers, seed {seed}: {measured}")
        return measured

    return measure


def train_process(seat: Seat, **arguments: Any) -> dict[str, Any]:
    """One worker of a gang of processes."""
    torch.set_num_threads(1)
    with torch_collective(
        seat.exchange, rank=seat.rank, world_size=seat.count, device=CPU, timeout_seconds=600, towards="127.0.0.1"
    ) as collective:
        return train(collective, **arguments)


def train(collective: Collective, *, folder: str, strategy: Strategy, config: TrainingConfig) -> dict[str, Any]:
    """One worker's training, and its weights if it is the first."""
    shard, sizes = read_shard(folder, collective.rank, collective.world_size)
    task = lenet_task(strategy, config, sizes)
    tallies: list[EpochTally]
    state, tallies = train_segment(
        task,
        TrainingState(epoch=0, weights=first_weights(task)),
        shard,
        collective,
        device=CPU,
        report=lambda _: None,
        progress=Progress(),
    )
    residual = next(iter(state.local.values()), {}).get("residual")
    return {
        "rank": collective.rank,
        "weights": {name: tensor.numpy() for name, tensor in state.weights.items()} if collective.rank == 0 else None,
        "residual": {name: tensor.numpy() for name, tensor in residual.items()} if residual else None,
        "bytes": sum(tally.bytes_sent for tally in tallies) / (len(tallies) * task.schedule.steps),
        "seconds": sum(tally.seconds for tally in tallies),
        "exchanging": sum(tally.communication_seconds for tally in tallies),
        "folder": folder,
    }


def prepare(options: argparse.Namespace, folder: str) -> None:
    """Writes the images of ``--data`` into ``folder`` as arrays, for `read_shard` and `accuracy`."""
    for name, count in (("train", options.images), ("test", None)):
        pixels, labels = read_arrays(options.data / f"{name}.zip", count)
        np.savez(Path(folder, name), pixels=pixels, labels=labels)


def read_shard(folder: str, rank: int, workers: int, part: int = 0, parts: int = 1) -> tuple[Shard, tuple[int, ...]]:
    """A worker's own training images, or a part of them, and how many each worker has there."""
    with np.load(f"{folder}/train.npz") as images:
        pixels, labels = images["pixels"], images["labels"]
    stride = workers * parts
    taken = [slice(part * workers + worker, None, stride) for worker in range(workers)]
    sizes = tuple(len(labels[each]) for each in taken)
    return Shard(pixels[taken[rank]], labels[taken[rank]], np.arange(sizes[rank])), sizes


def lenet_task(
    strategy: Strategy, config: TrainingConfig, sizes: tuple[int, ...], epochs: tuple[int, int] | None = None
) -> SegmentTask:
    """LeNet's training on shards of ``sizes``, in all epochs or from the first to the last of ``epochs``."""
    first, last = epochs or (1, config.epochs)
    return SegmentTask(
        network=describe_network("lenet"),
        allow_code=False,
        input_shape=(1, 28, 28),
        labels=tuple("0123456789"),
        sizes=sizes,
        normalization=Normalization((MEAN,), (DEVIATION,)),
        strategy=strategy,
        config=config,
        first_epoch=first,
        last_epoch=last,
    )


def first_weights(task: SegmentTask) -> dict[str, torch.Tensor]:
    """What training starts from, by the seed."""
    weights: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(task.config.seed)
    network = build_network(task.network, input_shape=task.input_shape, classes=10, allow_code=False)
    for name, tensor in network.state_dict().items():
        # As torch's own layers begin, but with a generator of its own: threads share torch's.
        fan_in = tensor[0].numel() if tensor.dim() > 1 else 100
        weights[name] = (torch.rand(tensor.shape, generator=generator) * 2 - 1) / fan_in**0.5
    return weights


def _summary(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    weights = {name: torch.from_numpy(array.copy()) for name, array in outcomes[0]["weights"].items()}
    for outcome in outcomes:
        for name, array in (outcome["residual"] or {}).items():
            weights[name] += torch.from_numpy(array)
    return {
        "accuracy": accuracy(weights, outcomes[0]["folder"]),
        "bytes": statistics.mean(outcome["bytes"] for outcome in outcomes),
        "seconds": max(outcome["seconds"] for outcome in outcomes),
        "exchanging": statistics.mean(outcome["exchanging"] / outcome["seconds"] for outcome in outcomes),
    }


@torch.no_grad()
def accuracy(weights: Mapping[str, torch.Tensor], folder: str) -> float:
    """On the test images."""
    network = build_network(describe_network("lenet"), input_shape=(1, 28, 28), classes=10, allow_code=False).eval()
    network.load_state_dict(weights)
    with np.load(f"{folder}/test.npz") as images:
        pixels, labels = torch.from_numpy(images["pixels"]), torch.from_numpy(images["labels"])
    inputs = ((pixels.float() / 255 - MEAN) / DEVIATION).permute(0, 3, 1, 2)
    output = torch.cat([network(part) for part in inputs.split(1000)])
    return float((output.argmax(1) == labels).float().mean())


def _cells(row: Row, workers: int, runs: list[dict[str, Any]], dense: list[dict[str, Any]]) -> list[str]:
    found = [run["accuracy"] for run in runs]
    lost = 100 * (statistics.mean(run["accuracy"] for run in dense) - statistics.mean(found))
    sent = statistics.mean(run["bytes"] for run in runs)
    return [
        row.key,
        str(workers),
        f"**{statistics.mean(found):.4f}** ({', '.join(f'{one:.4f}' for one in found)})",
        f"{lost:+.2f}",
        figure(sent),
        f"{statistics.mean(run['bytes'] for run in dense) / sent:,.1f} x",
        f"{statistics.median(run['seconds'] for run in runs):.1f}" if workers <= _PROCESSES else "",
        f"{statistics.median(run['exchanging'] for run in runs):.1%}" if workers <= _PROCESSES else "",
    ]


if __name__ == "__main__":
    main()
