"""Steady training speed (LeNet, batches of 100): two workers of one thread against loops without the product."""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import loops
from benchmarks.command import heading, journal, parser, settings
from benchmarks.comparison import HEADER, Measure, compare, say, table
from benchmarks.images import read_arrays, smaller
from benchmarks.workers import Workers
from sparkweave.strategies import AllReduce, ParameterAveraging
from sparkweave.strategies.base import Strategy

_EPOCHS_ON_SPARK = 4
_FEWEST_IMAGES = 6000


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    name: str
    measure: Measure


@dataclass(frozen=True)
class Row:
    """A comparison to make."""

    key: str
    first: Side
    second: Side
    target: str = ""


def main() -> None:
    arguments = parser("throughput", __doc__, rounds=5)
    arguments.add_argument("--spark", action="store_true", help="also measure the whole Trainer on local[2]")
    arguments.add_argument("--only", nargs="+", metavar="ROW", help="make these rows alone, by key")
    options = arguments.parse_args()
    if options.images is not None and options.images < _FEWEST_IMAGES:
        arguments.error(
            f"--images {options.images}: give at least {_FEWEST_IMAGES:,}, more than the loops warm up with"
        )
    log = journal(options)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sparkweave-benchmark-")))
        pixels, labels = read_arrays(options.data / "train.zip", options.images)
        np.save(folder / "pixels.npy", pixels)
        np.save(folder / "labels.npy", labels)
        rows = _rows(_Sides(str(folder), stack.enter_context(Workers(2)), stack.enter_context(Workers(1))))
        if options.spark:
            rows += _spark_rows(options, folder, stack, rows[0].second)
        if options.only and (unknown := set(options.only) - {row.key for row in rows}):
            arguments.error(f"--only {' '.join(unknown)}: choose from {' '.join(row.key for row in rows)}")
        print(heading("Steady throughput", options), flush=True)
        lines = []
        for row in rows:
            if options.only and row.key not in options.only:
                continue
            name = f"{row.key}: {row.first.name} against {row.second.name}"
            try:
                made = compare(
                    name,
                    row.first.measure,
                    row.second.measure,
                    rounds=options.rounds,
                    journal=log,
                    settings=settings(options),
                    target=row.target,
                )
            except RuntimeError as error:
                lines.append([name, "", "", f"failed: {str(error).strip().splitlines()[-1][:200]}", "", "0"])
                continue
            lines.append(made.cells())
    print("Images a second of both processes together:\n")
    print(table(HEADER, lines), flush=True)


class _Sides:
    """What can be measured, by the processes that are given."""

    def __init__(self, folder: str, pair: Workers, single: Workers) -> None:
        self._folder = folder
        self._pair = pair
        self._single = single

    def workers(self, name: str, strategy: Strategy | None = None, *, alone: bool = False, **options: Any) -> Side:
        """Two workers of the product."""
        arguments = {"strategy": strategy or ParameterAveraging(), "options": options, "alone": alone}
        return Side(name, functools.partial(self._speed, self._pair, loops.product, arguments))

    def loops(self, name: str, *, every: int | None = None, **options: Any) -> Side:
        """Two loops of plain PyTorch with a thread each that know nothing of each other.

        Args:
            name: What the table says.
            every: Reckon as if they had waited for each other every so many steps, in no time.
            **options: Of `loops.plain`.
        """
        chosen = {
            "threads": 1,
            "prepare": "bytes",
            "channels_last": True,
            "fused": True,
            "keep_memory": True,
            **options,
        }
        measure = functools.partial(self._speed, self._pair, loops.plain, chosen)
        return Side(name, measure if every is None else functools.partial(self._in_step, chosen, every))

    def script(self, name: str, prepare: str) -> Side:
        """One process with two threads, everything left as it comes."""
        return Side(name, functools.partial(self._speed, self._single, loops.plain, {"threads": 2, "prepare": prepare}))

    def _speed(self, workers: Workers, function: Callable[..., Any], arguments: Mapping[str, Any]) -> float:
        results = workers.run(function, folder=self._folder, **arguments)
        if "communication" in results[0]:
            shares = {part: statistics.mean(result[part] for result in results) for part in ("data", "communication")}
            say("  " + ", ".join(f"{part} {share:.1%}" for part, share in shares.items()))
        return float(sum(result["images_per_second"] for result in results))

    def _in_step(self, arguments: Mapping[str, Any], every: int) -> float:
        """The images a second that are left if each round of ``every`` steps takes as long as the slower loop's."""
        results = self._pair.run(loops.plain, folder=self._folder, **arguments)
        steps = np.array([result["steps"] for result in results])
        rounds = np.add.reduceat(steps, np.arange(0, steps.shape[1], every), axis=1)
        alone = sum(result["images_per_second"] for result in results)
        in_step = sum(result["examples"] for result in results) / rounds.max(axis=0).sum()
        say(f"  in step {in_step / alone:.3f} of alone")
        return float(in_step)


def _rows(sides: _Sides) -> list[Row]:
    ours = sides.workers("2 workers, averaging every 5")
    optimized = sides.loops("2 independent loops of the same optimized step")
    return [
        Row("independent", ours, optimized, ">= 0.95"),
        Row("in-step", ours, sides.loops("the same, as if waiting for each other every 5 steps", every=5)),
        Row(
            "script",
            ours,
            sides.script("a plain script (2 threads, all images in memory as floats)", "floats"),
            ">= 1.25",
        ),
        Row("loader", ours, sides.script("a plain script (2 threads, DataLoader)", "loader")),
        Row("gang", ours, sides.workers("the same loop without a gang", alone=True)),
        Row("prefetch", sides.workers("prefetch 2"), sides.workers("prefetch 0", prefetch=0)),
        Row(
            "save-optimizer",
            ours,
            sides.workers("without averaging the optimizer", ParameterAveraging(save_optimizer=False)),
        ),
        Row("frequency-1", sides.workers("averaging every step", ParameterAveraging(averaging_frequency=1)), ours),
        Row("frequency-20", sides.workers("averaging every 20", ParameterAveraging(averaging_frequency=20)), ours),
        Row("all-reduce", sides.workers("AllReduce", AllReduce()), ours),
        Row("fused", ours, sides.workers("Adam not fused", optimizer_options={"fused": False})),
        Row("step-channels-last", optimized, sides.loops("the step in contiguous format", channels_last=False)),
        Row("step-fused", optimized, sides.loops("the step with Adam as torch chooses", fused=None)),
        Row("step-compile", sides.loops("torch.compile on the step", compiled=True), optimized),
    ]


def _spark_rows(options: argparse.Namespace, folder: Path, stack: ExitStack, optimized: Side) -> list[Row]:
    """The trainer on Spark, its own figures of the epochs after the first."""
    from sparkweave import Trainer, TrainingConfig, build_session, read_image_archives

    spark = build_session("local[2]")
    stack.callback(spark.stop)
    archive = str(smaller(options.data / "train.zip", options.images, folder))

    def measure() -> float:
        config = TrainingConfig(epochs=_EPOCHS_ON_SPARK, workers=2)
        model = Trainer("lenet", config=config).fit(read_image_archives(spark, archive))
        speeds = [record["images_per_second"] for record in model.history if record["event"] == "epoch"]
        return statistics.median(speeds[1:])

    return [Row("spark", Side("Trainer on local[2], averaging every 5", measure), optimized)]


if __name__ == "__main__":
    main()
