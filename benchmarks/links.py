"""Time to a given accuracy on the test images over slow links, for each strategy: LeNet, workers that are machines behind a switch.

The machines are network namespaces, their links are shaped or, ``unshaped``, as fast as the kernel makes them. ``none`` are
workers of one machine, on loopback, with shared memory where the strategy has a use for it. The clock stands still while the
first worker tests. All workers together take 256 images a step. The learning rate rises and falls over a number of passes
that is the same for all strategies (one-cycle).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.command import heading, journal, parser, settings
from benchmarks.communication import BATCH, CPU, ROWS, Row, accuracy, first_weights, lenet_task, prepare, read_shard
from benchmarks.comparison import Comparison, figure, say, table
from benchmarks.journal import Journal
from benchmarks.workers import Seat, Workers
from sparkweave.config import TrainingConfig
from sparkweave.distributed.collective import Collective
from sparkweave.distributed.torch_collective import torch_collective
from sparkweave.strategies import AllReduce, GradientSharing, ParameterAveraging, Strategy
from sparkweave.testing.links import SWITCH, Link, LinkedMachines, why_impossible
from sparkweave.training.loop import Progress, train_segment
from sparkweave.training.state import TrainingState

HEADER = (
    "strategy",
    "link",
    "seconds to the accuracy (each seed)",
    "passes",
    "ms a step",
    "of it exchanging",
    "bytes a worker and step",
    "times as fast as all-reduce",
    "aim",
    "accuracy at the end",
)
LOOPBACK, UNSHAPED = "none", "unshaped"
_DENSE = ROWS[0]
_INFREQUENT = 20
_IMAGES = 60_000
_PROBES = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What a worker is to do.

    Attributes:
        folder: Where the images are as arrays.
        strategy: Keeps the workers' networks the same.
        config: The options of the training.
        parts: Of the images, each of which is a pass.
        accuracy: What is to be reached.
        most_seconds: When to give it up.
    """

    folder: str
    strategy: Strategy
    config: TrainingConfig
    parts: int
    accuracy: float
    most_seconds: float

    def is_done(self, passes: list[dict[str, float]]) -> bool:
        """Whether the last of ``passes`` has reached the accuracy, there are no more, or they took too long."""
        seconds = sum(each["seconds"] for each in passes)
        reached = bool(passes) and passes[-1]["accuracy"] >= self.accuracy
        return reached or len(passes) == self.config.epochs or seconds >= self.most_seconds


@dataclasses.dataclass(frozen=True)
class Run:
    """What a row's training has come to, with one seed: its passes, and whether the last one reached the accuracy."""

    passes: list[dict[str, float]]
    reached: bool

    @property
    def seconds(self) -> float:
        """Of training, all passes together."""
        return sum(each["seconds"] for each in self.passes)

    def __str__(self) -> str:
        return figure(self.seconds) if self.reached else f"> {figure(self.seconds)}"


def main() -> None:
    options = _options()
    log = journal(options)
    print(heading("Links", options), flush=True)
    lines = []
    with tempfile.TemporaryDirectory(prefix="sparkweave-benchmark-") as folder:
        prepare(options, folder)
        for link in options.links:
            if link != LOOPBACK and (reason := why_impossible(_shape(link))) is not None:
                print(f"{link}: left out. {reason}\n", flush=True)
                continue
            with _gang(options.workers, link) as measure:
                _tell(link, log.take(_key("link", link, options), functools.partial(measure, probe)))
                lines += _measure(link, log, measure, folder, options)
    print(table(HEADER, lines), flush=True)


def _options() -> argparse.Namespace:
    arguments = parser("links", __doc__, rounds=1)
    arguments.add_argument(
        "--links", nargs="+", default=[LOOPBACK, "100mbit,20ms"], metavar="none|unshaped|RATE[,ROUND TRIP]"
    )
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--accuracy", type=float, default=0.9, help="what is to be reached (0.9)")
    arguments.add_argument("--pass-images", type=int, default=30_000, help="images between two tests (30000)")
    arguments.add_argument("--max-seconds", type=float, default=900.0, help="when to give a run up (900)")
    arguments.add_argument("--passes", type=int, default=10, help="what the schedule is made for, and the most (10)")
    arguments.add_argument("--learning-rate", type=float, default=2.5e-3, help="the schedule's highest (0.0025)")
    arguments.add_argument("--schedule", default="one-cycle", help="of the learning rate (one-cycle)")
    arguments.add_argument(
        "--only", nargs="+", metavar="ROW", choices=[row.key for row in ROWS], help="beside all-reduce"
    )
    return arguments.parse_args()


@contextlib.contextmanager
def _gang(workers: int, link: str) -> Iterator[Callable[..., Any]]:
    """Calls a function in all workers, of which the first one's result is taken."""
    with contextlib.ExitStack() as stack:
        machines = None if link == LOOPBACK else stack.enter_context(LinkedMachines(workers, _shape(link)))
        gang = stack.enter_context(Workers(workers, machines))
        towards = "127.0.0.1" if machines is None else SWITCH
        yield lambda function, **arguments: gang.run(function, towards=towards, **arguments)[0]


def _shape(link: str) -> Link | None:
    return None if link in (LOOPBACK, UNSHAPED) else Link.parse(link)


def _key(row: str, link: str, options: argparse.Namespace, **others: Any) -> dict[str, Any]:
    kept = {name: value for name, value in settings(options).items() if name not in ("seeds", "links")}
    return {"row": row, "link": link, **others, **kept}


def _measure(
    link: str, log: Journal, measure: Callable[..., Any], folder: str, options: argparse.Namespace
) -> list[list[str]]:
    lines: list[list[str]] = []
    dense: list[Run] = []
    for row in ROWS:
        if row is not _DENSE and options.only and row.key not in options.only:
            continue
        runs = []
        for seed in options.seeds:
            say(f"{row.key} over {link}, seed {seed}")
            key = _key(row.key, link, options, strategy=repr(row.strategy), seed=seed)
            found = log.take(key, functools.partial(measure, train, work=_work(row, seed, folder, options)))
            runs.append(Run(found["passes"], found["passes"][-1]["accuracy"] >= options.accuracy))
        dense = dense or runs
        lines.append(_cells(row, link, runs, dense))
        say("| " + " | ".join(lines[-1]) + " |")
    return lines


def _work(row: Row, seed: int, folder: str, options: argparse.Namespace) -> Work:
    return Work(
        folder=folder,
        strategy=row.strategy,
        config=TrainingConfig(
            epochs=options.passes,
            batch_size=BATCH // options.workers,
            learning_rate=options.learning_rate,
            schedule=options.schedule,
            seed=seed,
        ),
        parts=-(-(options.images or _IMAGES) // options.pass_images),
        accuracy=options.accuracy,
        most_seconds=options.max_seconds,
    )


def probe(seat: Seat, *, towards: str) -> dict[str, float]:
    """What the link gives: the rate of a long sum, and the time of a short one."""
    with _collective(seat, towards) as collective:
        return {
            "megabits": 8e-6 * 4 * (1 << 20) / _sum_seconds(collective, 1 << 20, 4),
            "milliseconds": 1e3 * _sum_seconds(collective, 1, _PROBES),
        }


def _sum_seconds(collective: Collective, size: int, count: int) -> float:
    """The median time of a sum."""
    tensor, times = torch.ones(size), []
    for _ in range(count):
        began = time.perf_counter()
        collective.all_reduce(tensor)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _tell(link: str, probed: dict[str, float]) -> None:
    print(
        f"Over {link}: all-reduce of 4 MiB at {figure(probed['megabits'])} Mbit/s, "
        f"of one number in {figure(probed['milliseconds'])} ms.\n",
        flush=True,
    )


def train(seat: Seat, *, work: Work, towards: str) -> dict[str, Any]:
    """One worker's training, pass by pass."""
    passes: list[dict[str, float]] = []
    state = None
    with _collective(seat, towards) as collective:
        while not work.is_done(passes):
            state, passed = _train_pass(work, len(passes), state, collective)
            passes.append(_slowest(seat.exchange(json.dumps(passed))))
            if seat.rank == 0:
                seconds = sum(each["seconds"] for each in passes)
                say(f"pass {len(passes)}: {passes[-1]['accuracy']:.4f} after {seconds:.1f} s")
    return {"passes": passes}


def _train_pass(
    work: Work, done: int, state: TrainingState | None, collective: Collective
) -> tuple[TrainingState, dict[str, float]]:
    """An epoch of one part of the images; the test after it is not timed."""
    shard, sizes = read_shard(work.folder, collective.rank, collective.world_size, done % work.parts, work.parts)
    task = lenet_task(work.strategy, work.config, sizes, (done + 1, done + 1))
    state, (tally,) = train_segment(
        task,
        state or TrainingState(epoch=0, weights=first_weights(task)),
        shard,
        collective,
        device=CPU,
        report=lambda _: None,
        progress=Progress(),
    )
    model = _model(state, collective)
    return state, {
        "seconds": tally.seconds,
        "exchanging": tally.communication_seconds,
        "bytes": tally.bytes_sent,
        "steps": task.schedule.steps,
        "accuracy": accuracy(model, work.folder) if collective.rank == 0 else 0.0,
    }


@contextlib.contextmanager
def _collective(seat: Seat, towards: str) -> Iterator[Collective]:
    torch.set_num_threads(1)
    with torch_collective(
        seat.exchange, rank=seat.rank, world_size=seat.count, device=CPU, timeout_seconds=600, towards=towards
    ) as collective:
        yield collective


def _model(state: TrainingState, collective: Collective) -> dict[str, torch.Tensor]:
    """The weights of the model that a run would end with: with what all workers have kept back."""
    weights = dict(state.weights)
    for name, tensor in state.local.get(collective.rank, {}).get("residual", {}).items():
        kept = tensor.clone()
        collective.all_reduce(kept)
        weights[name] = weights[name] + kept
    return weights


def _slowest(texts: list[str]) -> dict[str, float]:
    """The workers' passes as one: as long as the longest, and the first one's accuracy."""
    passes = [json.loads(text) for text in texts]
    return {
        **passes[0],
        "seconds": max(each["seconds"] for each in passes),
        "exchanging": statistics.mean(each["exchanging"] for each in passes),
        "bytes": statistics.mean(each["bytes"] for each in passes),
    }


def _cells(row: Row, link: str, runs: list[Run], dense: list[Run]) -> list[str]:
    passes = [each for run in runs for each in run.passes]
    seconds, steps = sum(each["seconds"] for each in passes), sum(each["steps"] for each in passes)
    return [
        row.key,
        link,
        f"**{figure(statistics.median(run.seconds for run in runs))}** ({', '.join(map(str, runs))})",
        figure(statistics.mean(len(run.passes) for run in runs)),
        figure(1e3 * seconds / steps),
        f"{sum(each['exchanging'] for each in passes) / seconds:.0%}",
        figure(sum(each["bytes"] for each in passes) / steps),
        *_compared(row, link, runs, dense),
        ", ".join(f"{run.passes[-1]['accuracy']:.4f}" for run in runs),
    ]


def _compared(row: Row, link: str, runs: list[Run], dense: list[Run]) -> list[str]:
    """How much faster than all-reduce, and whether that is enough; where all-reduce was given up, it is faster than that."""
    if row is _DENSE:
        return ["", ""]
    if not all(run.reached for run in runs):
        return ["not reached", ""]
    ratios = Comparison(
        name=row.key,
        first=[run.seconds for run in dense],
        second=[run.seconds for run in runs],
        target=_aim(row.strategy, link),
    )
    ratio, verdict = ratios.cells()[3:5]
    return [ratio if all(run.reached for run in dense) else f"at least {ratio}", verdict]


def _aim(strategy: Strategy, link: str) -> str:
    """Of dense all-reduce's time divided by the strategy's."""
    if isinstance(strategy, AllReduce):
        return ""
    if isinstance(strategy, GradientSharing):
        return ">= 0.9" if _shape(link) is None else ">= 3"
    infrequent = isinstance(strategy, ParameterAveraging) and strategy.averaging_frequency >= _INFREQUENT
    return ">= 3" if infrequent and _shape(link) is not None else ""


if __name__ == "__main__":
    main()
