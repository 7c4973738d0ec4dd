"""Training loops to measure: the product's, in a gang or alone, and loops of plain PyTorch without it.

Each is called in a process of `benchmarks.workers`, warms up, and returns the images a second of its own process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from benchmarks.baselines.plain_pytorch import batches, lenet
from benchmarks.workers import Seat
from sparkweave.config import TrainingConfig
from sparkweave.data.batches import Normalization
from sparkweave.data.shard import Shard
from sparkweave.distributed.torch_collective import torch_collective
from sparkweave.networks import build_network, describe_network
from sparkweave.strategies.base import Strategy
from sparkweave.training.allocator import keep_freed_memory
from sparkweave.training.loop import EpochTally, Progress, train_segment
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask

WARM_UP_STEPS = 20
MEAN, DEVIATION = 0.286, 0.353
"""Of Fashion-MNIST's pixels, on the scale of [0, 1]."""

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


class Alone:
    """A gang of one, which never has anything to exchange."""

    rank = 0
    world_size = 1
    bytes_sent = 0
    bytes_received = 0
    seconds = 0.0


def product(
    seat: Seat, *, folder: str, strategy: Strategy, options: dict[str, Any], alone: bool = False
) -> dict[str, Any]:
    """One epoch of `train_segment`, one thread a process: in a gang over loopback, or each process ``alone``."""
    torch.set_num_threads(1)
    if alone:
        return _epoch(Alone(), seat, folder, strategy, options)
    with torch_collective(
        seat.exchange,
        rank=seat.rank,
        world_size=seat.count,
        device=torch.device("cpu"),
        timeout_seconds=120,
        towards="127.0.0.1",
    ) as collective:
        return _epoch(collective, seat, folder, strategy, options)


def _epoch(collective: Any, seat: Seat, folder: str, strategy: Strategy, options: dict[str, Any]) -> dict[str, Any]:
    config = TrainingConfig(epochs=2, **options)
    pixels, labels = _share(seat, folder)
    for count in (WARM_UP_STEPS * config.batch_size, len(labels)):
        shard = Shard(pixels[:count], labels[:count], np.arange(count))
        tally = _segment(collective, shard, strategy, config)
    seconds = {name: getattr(tally, f"{name}_seconds") / tally.seconds for name in ("data", "communication")}
    return {"images_per_second": tally.examples / tally.seconds, **seconds}


def _segment(collective: Any, shard: Shard, strategy: Strategy, config: TrainingConfig) -> EpochTally:
    network = describe_network("lenet")
    torch.manual_seed(0)
    weights = build_network(network, input_shape=(1, 28, 28), classes=10, allow_code=False).state_dict()
    task = SegmentTask(
        network=network,
        allow_code=False,
        input_shape=(1, 28, 28),
        labels=tuple("0123456789"),
        sizes=(len(shard),) * collective.world_size,
        normalization=Normalization((MEAN,), (DEVIATION,)),
        strategy=strategy,
        config=config,
        first_epoch=1,
        last_epoch=1,
    )
    _, (tally,) = train_segment(
        task,
        TrainingState(epoch=0, weights=weights),
        shard,
        collective,
        device=torch.device("cpu"),
        report=lambda _: None,
        progress=Progress(),
    )
    return tally


def plain(
    seat: Seat,
    *,
    folder: str,
    threads: int,
    prepare: str,
    batch_size: int = 100,
    channels_last: bool = False,
    fused: bool | None = None,
    compiled: bool = False,
    keep_memory: bool = False,
) -> dict[str, Any]:
    """A few lines of PyTorch without the product.

    Args:
        seat: Its process.
        folder: Where the images are.
        threads: Of torch.
        prepare: ``bytes`` gathers bytes and makes them floats, batch by batch; ``floats`` keeps all images as floats;
            ``loader`` also takes them through a DataLoader.
        batch_size: Images a step.
        channels_last: The memory format of network and images.
        fused: Of Adam; None leaves it to torch.
        compiled: Whether the network is compiled.
        keep_memory: Whether freed memory is kept for the next step, as the product does.
    """
    torch.set_num_threads(threads)
    if keep_memory:
        keep_freed_memory()
    torch.manual_seed(0)
    network = lenet()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=fused)
    forward = torch.compile(network) if compiled else network
    pixels, labels = _share(seat, folder)
    made = (
        _from_bytes(pixels, labels, batch_size)
        if prepare == "bytes"
        else _from_floats(pixels, labels, batch_size, prepare)
    )
    examples, ends = 0, []
    for step, (x, y) in enumerate(made):
        if step == WARM_UP_STEPS:
            examples, ends = 0, [time.perf_counter()]
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)  # noqa: PLW2901
        optimizer.zero_grad()
        F.cross_entropy(forward(x), y).backward()
        optimizer.step()
        examples += len(y)
        ends.append(time.perf_counter())
    steps = np.diff(ends).tolist()
    return {"images_per_second": examples / sum(steps), "examples": examples, "steps": steps}


def _share(seat: Seat, folder: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """This process's part of the images, mapped from a file as a shard is."""
    pixels = np.load(f"{folder}/pixels.npy", mmap_mode="r")
    labels = np.load(f"{folder}/labels.npy")
    size = len(labels) // seat.count
    mine = slice(seat.rank * size, (seat.rank + 1) * size)
    return pixels[mine], labels[mine]


def _from_bytes(pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], batch_size: int) -> Batches:
    targets = torch.from_numpy(labels)
    for chosen in torch.randperm(len(labels)).split(batch_size):
        images = torch.from_numpy(np.take(pixels, chosen.numpy(), axis=0)).to(torch.float32)
        images.mul_(1 / (255 * DEVIATION)).sub_(MEAN / DEVIATION)
        yield images.permute(0, 3, 1, 2), targets[chosen]


def _from_floats(
    pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], batch_size: int, prepare: str
) -> Batches:
    images = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).contiguous() / 255.0
    images = (images - MEAN) / DEVIATION
    yield from batches(images, torch.from_numpy(labels), batch_size, loader=prepare == "loader")
