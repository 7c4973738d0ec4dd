"""Tiny tasks and shards, and gangs of threads or of processes to train them in."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from sparkweave.config import TrainingConfig
from sparkweave.data.batches import Normalization
from sparkweave.data.schedule import permutation
from sparkweave.data.shard import Shard
from sparkweave.distributed.collective import Collective
from sparkweave.distributed.in_process import run_gang
from sparkweave.distributed.torch_collective import torch_collective
from sparkweave.networks import build_network
from sparkweave.strategies import Strategy
from sparkweave.testing.links import SWITCH, LinkedMachines
from sparkweave.training.loop import EpochTally, Progress, train_segment
from sparkweave.training.optimizers import make_optimizer
from sparkweave.training.state import TrainingState, rank_of
from sparkweave.training.task import SegmentTask

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)
LABELS = ("0", "1", "2")
NETWORK: Mapping[str, Any] = {
    "name": "tiny",
    "layers": [
        {"Conv2d": {"out_channels": 5, "kernel_size": 3}},
        "BatchNorm2d",
        "ReLU",
        {"MaxPool2d": {"kernel_size": 2}},
        "Flatten",
        {"Linear": {"out_features": "classes"}},
    ],
}
"""Nothing in it is random, so that ranks may be threads, which share torch's generator."""

RANDOM_NETWORK: Mapping[str, Any] = {
    "name": "tiny-random",
    "layers": [*NETWORK["layers"][:-1], {"Dropout": {"p": 0.3}}, NETWORK["layers"][-1]],
}


def taken(task: SegmentTask, shard: Shard, rank: int) -> list[npt.NDArray[np.int64]]:
    """Which examples of ``shard`` its rank takes at each step of epoch 1."""
    order = shard.order[permutation(len(shard), seed=task.config.seed, epoch=1, rank=rank)]
    return np.split(order, task.schedule.bounds(rank)[1:-1])


def train_plainly(
    task: SegmentTask, batches: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]
) -> dict[str, torch.Tensor]:
    """The weights after steps on ``batches`` of pixels and labels, by the loop that anyone would write."""
    network = build_network(task.network, input_shape=task.input_shape, classes=len(task.labels), allow_code=False)
    network.load_state_dict(dict(first_state(task).weights))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    config = task.config
    optimizer = make_optimizer(network, config.optimizer, config.learning_rate, config.optimizer_options)
    for pixels, labels in batches:
        optimizer.zero_grad()
        output = network(task.normalization(torch.from_numpy(pixels)))
        functional.cross_entropy(output, torch.from_numpy(labels)).backward()
        optimizer.step()
    return network.state_dict()


Trained = tuple[dict[str, bytes], list[EpochTally]]


def common(blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    """Of a state, what is the same on all workers."""
    return {name: blob for name, blob in blobs.items() if rank_of(name) is None}


def merged(trained: Sequence[Trained]) -> dict[str, bytes]:
    """The state that the driver makes of what the workers return."""
    own = {name: blob for blobs, _ in trained for name, blob in blobs.items() if rank_of(name) is not None}
    return common(trained[0][0]) | own


def make_shard(examples: int, *, seed: int = 0) -> Shard:
    """Noise with a class's own bright row."""
    generator = np.random.default_rng([seed, examples])
    labels = generator.integers(0, len(LABELS), examples)
    pixels = generator.integers(0, 100, (examples, *SHAPE[1:], SHAPE[0]), dtype=np.uint8)
    pixels[np.arange(examples), labels * 2] += 150
    return Shard(pixels, labels, generator.permutation(examples))


def make_shards(sizes: Sequence[int]) -> list[Shard]:
    return [make_shard(size, seed=rank) for rank, size in enumerate(sizes)]


def make_task(
    strategy: Strategy,
    sizes: Sequence[int],
    *,
    network: Mapping[str, Any] = NETWORK,
    first_epoch: int = 1,
    last_epoch: int | None = None,
    **options: Any,
) -> SegmentTask:
    config = TrainingConfig(**{"epochs": 2, "batch_size": 4, "prefetch": 0, **options})
    return SegmentTask(
        network=network,
        allow_code=False,
        input_shape=SHAPE,
        labels=LABELS,
        sizes=tuple(sizes),
        normalization=Normalization((0.3,), (0.25,)),
        strategy=strategy,
        config=config,
        first_epoch=first_epoch,
        last_epoch=config.epochs if last_epoch is None else last_epoch,
    )


def first_state(task: SegmentTask) -> TrainingState:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.config.seed)
        network = build_network(task.network, input_shape=task.input_shape, classes=len(task.labels), allow_code=False)
    return TrainingState(epoch=0, weights=network.state_dict())


def train_rank(
    collective: Collective, task: SegmentTask, shards: Sequence[Shard], blobs: Mapping[str, bytes]
) -> Trained:
    """One rank's segment; states are bytes, so that they can be compared and cross to other processes."""
    state, tallies = train_segment(
        task,
        TrainingState.from_blobs(task.first_epoch - 1, blobs),
        shards[collective.rank],
        collective,
        device=CPU,
        report=lambda event: None,
        progress=Progress(),
    )
    return state.to_blobs(), tallies


def train(task: SegmentTask, shards: Sequence[Shard], blobs: Mapping[str, bytes] | None = None) -> list[Trained]:
    """The segment in a gang of threads, by rank."""
    start = first_state(task).to_blobs() if blobs is None else blobs
    return run_gang(len(shards), functools.partial(train_rank, task=task, shards=shards, blobs=start), 20.0)


def train_in_processes(
    task: SegmentTask, shards: Sequence[Shard], blobs: Mapping[str, bytes] | None = None
) -> list[Trained]:
    """The segment in a gang of processes over gloo, by rank."""
    start = first_state(task).to_blobs() if blobs is None else blobs
    return results(run_processes(len(shards), train_rank, task, shards, start))


GANGS = {"threads": train, "processes": train_in_processes}


def results(outcomes: Sequence[Any]) -> list[Any]:
    """What the ranks returned; raises what the first of them raised."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return list(outcomes)


def run_processes(
    world_size: int, work: Callable[..., Any], *args: Any, timeout_seconds: float = 20.0, limit_seconds: float = 60.0
) -> list[Any]:
    """``work(collective, *args)`` in processes that form a gloo group, by rank: what it returned, or what it raised."""
    while len(_workers) < world_size:
        _workers.append(_start_worker())
    workers = _workers[:world_size]
    try:
        for rank, (pipe, _) in enumerate(workers):
            pipe.send((rank, world_size, timeout_seconds, work, args))
        return _serve([pipe for pipe, _ in workers], time.monotonic() + limit_seconds)
    except (EOFError, OSError) as error:  # a TimeoutError is an OSError
        codes = [process.exitcode for _, process in workers]
        _end(_workers)
        raise RuntimeError(f"a worker process ended or hangs; the exit codes were {codes}") from error


_workers: list[tuple[Any, Any]] = []
"""Pipes to processes that serve one gang after the other: importing torch takes far longer than a test."""


def _start_worker() -> tuple[Any, Any]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sparkweave.training.loop", "sparkweave.distributed.torch_collective"])
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve_gangs, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _end(workers: list[tuple[Any, Any]]) -> None:
    for pipe, process in workers:
        pipe.close()
        process.kill()
        process.join()
    workers.clear()


def _serve(pipes: list[Any], deadline: float) -> list[Any]:
    """Carries the rendezvous between the processes, and collects what becomes of them."""
    outcomes: dict[int, Any] = {}
    waiting: dict[int, str] = {}
    while len(outcomes) < len(pipes):
        busy = [pipe for rank, pipe in enumerate(pipes) if rank not in outcomes]
        ready = multiprocessing.connection.wait(busy, max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        for pipe in ready:
            kind, value = pipe.recv()  # type: ignore[attr-defined]
            (waiting if kind == "exchange" else outcomes)[pipes.index(pipe)] = value
        if len(waiting) == len(pipes):
            for pipe in pipes:
                pipe.send([waiting[rank] for rank in range(len(pipes))])
            waiting.clear()
    return [outcomes[rank] for rank in range(len(pipes))]


def run_on_machines(
    machines: LinkedMachines, world_size: int, work: Callable[..., Any], *args: Any, limit_seconds: float = 120.0
) -> list[Any]:
    """As `run_processes`, with each process on a machine of its own."""
    context = multiprocessing.get_context("spawn")
    workers = []
    try:
        for rank in range(world_size):
            ours, theirs = context.Pipe()
            with machines.starting(rank):
                process = context.Process(target=_serve_gangs, args=(theirs, SWITCH), daemon=True)
                process.start()
            theirs.close()
            workers.append((ours, process))
            ours.send((rank, world_size, 60.0, work, args))
        return _serve([pipe for pipe, _ in workers], time.monotonic() + limit_seconds)
    finally:
        _end(workers)


def _serve_gangs(pipe: Any, towards: str = "localhost") -> None:
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            rank, world_size, timeout_seconds, work, args = pipe.recv()
            pipe.send(("outcome", _outcome(pipe, towards, rank, world_size, timeout_seconds, work, args)))


def _outcome(
    pipe: Any, towards: str, rank: int, world_size: int, timeout_seconds: float, work: Any, args: tuple[Any, ...]
) -> Any:
    def exchange(text: str) -> list[str]:
        pipe.send(("exchange", text))
        answer: list[str] = pipe.recv()
        return answer

    try:
        with torch_collective(
            exchange,
            rank=rank,
            world_size=world_size,
            device=CPU,
            timeout_seconds=timeout_seconds,
            towards=towards,
        ) as collective:
            return work(collective, *args)
    except Exception as error:  # noqa: BLE001 - whatever a test provokes
        return error
