"""A segment trained in this process alone: what its workers' result is compared with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from sparkweave.data.schedule import permutation
from sparkweave.data.shard import Shard
from sparkweave.distributed.in_process import InProcessCollective, run_gang
from sparkweave.strategies import Strategy
from sparkweave.training.loop import EpochTally, Progress, Report, train_segment
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask

_PATIENCE_SECONDS = 3600.0  # a rank that fails ends the others at once
_CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """What training has come to.

    Attributes:
        weights: The network's ``state_dict``, see `TrainingState.folded`.
        loss: Mean over the examples of all steps.
    """

    weights: Mapping[str, torch.Tensor]
    loss: float


def train_in_one_process(
    task: SegmentTask, start: TrainingState, shards: Sequence[Shard], *, threads: int, report: Report
) -> Trained:
    """Trains ``task`` on the CPU, each rank a thread.

    Args:
        task: What to do. Several ranks share torch's generator, see `sparkweave.training.randomness`.
        start: What to go on from.
        shards: By rank.
        threads: Of torch, for each rank: as many as a worker has, so that sums are in the same order.
        report: See `train_segment`; what it raises ends the training.
    """

    def work(collective: InProcessCollective) -> tuple[TrainingState, list[EpochTally]]:
        torch.set_num_threads(threads)
        shard = shards[collective.rank]
        return train_segment(task, start, shard, collective, device=_CPU, report=report, progress=Progress())

    with _torch_as_before():
        trained = run_gang(len(shards), work, timeout_seconds=_PATIENCE_SECONDS)
    local = {rank: kept for state, _ in trained for rank, kept in state.local.items()}
    tallies = [tally for _, tallies in trained for tally in tallies]
    return Trained(
        weights=dataclasses.replace(trained[0][0], local=local).folded().weights,
        loss=sum(tally.loss for tally in tallies) / sum(tally.examples for tally in tallies),
    )


def parts(whole: Shard, sizes: Sequence[int]) -> list[Shard]:
    """The shards of which ``whole`` holds the examples, one shard's after the other's.

    Args:
        whole: Of all.
        sizes: Of each.
    """
    stops = np.cumsum(sizes).tolist()
    return [whole.select(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]


def alone(task: SegmentTask, whole: Shard, strategy: Strategy) -> tuple[SegmentTask, Shard]:
    """One epoch of ``task`` as one worker does it that has all the images: in a step it takes what the ranks take together.

    That is exactly so where all shards are of one size, a multiple of the batch size; else its batches begin and end some
    images off.

    Args:
        task: The ranks'.
        whole: All shards, see `parts`.
        strategy: Of the lone worker.
    """
    steps, seed, epoch = task.schedule.steps, task.config.seed, task.first_epoch
    by_rank = []
    for rank, shard in enumerate(parts(whole, task.sizes)):
        mine = shard.order[permutation(len(shard), seed=seed, epoch=epoch, rank=rank)] + sum(task.sizes[:rank])
        by_rank.append(np.split(mine, task.schedule.bounds(rank)[1:-1]))
    taken = np.concatenate([batches[step] for step in range(steps) for batches in by_rank])
    order = np.empty_like(taken)
    order[permutation(len(taken), seed=seed, epoch=epoch, rank=0)] = taken
    config = dataclasses.replace(task.config, batch_size=-(-len(taken) // steps))
    lone = dataclasses.replace(task, sizes=(len(taken),), strategy=strategy, config=config)
    return lone, dataclasses.replace(whole, order=order)


@contextlib.contextmanager
def _torch_as_before() -> Iterator[None]:
    """Leaves torch's generator and its number of threads as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
