"""Trains a few steps in a process of its own and says what memory that took.

::

    python -m sparkweave.deploy.dry_run < request.json > footprint.json

The steps are the training loop's own, on noise. Resident memory is what YARN and Kubernetes count, so that is measured: after
the imports, and at its peak in training. A worker keeps what it frees (see `sparkweave.training.allocator`), so the peak stays.
Batches grow until the wanted one is measured, or time is up; beyond, memory follows the straight line through the last two.
Measured so with 4 s, the peaks of LeNet at 4,096 images and of the residual network at 1,024 were off by 10 % and 4 %.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkweave.errors import SparkweaveError

if TYPE_CHECKING:
    import torch

    from sparkweave.training.loop import Report
    from sparkweave.training.state import TrainingState
    from sparkweave.training.task import SegmentTask

_DIFFERENT_IMAGES = 64
_WORLD_SIZE = 2
_STATUS = Path("/proc/self/status")
_RESET_PEAK = Path("/proc/self/clear_refs")
_FREE_SHARE = 0.25
_FIRST_BATCH, _GROWTH, _LEAST_GROWTH, _LEAST_POINTS = 4, 4.0, 1.5, 3


def main() -> None:
    """Reads the request, and writes the footprint, or the error that a user can mend."""
    answer = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # a user's network may print
        try:
            found = measure(json.load(sys.stdin))
        except SparkweaveError as error:
            found = {"error": type(error).__name__, "message": str(error)}
    json.dump(found, answer)


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `sparkweave.deploy.footprint.Footprint`, for a request of `measure_footprint` there."""
    daemon = _after_importing(request["daemon_modules"])
    base = _after_importing(request["worker_modules"])
    data = _status("VmData")
    import torch

    torch.set_num_threads(request["threads"])
    task = _task(request)
    tensors = _count_tensors(_with_batch(task, _FIRST_BATCH))
    peaks = _peaks_of_growing_batches(task, base, request["seconds"])
    reserved = max(_status("VmData") - data - peaks[-1][1], 0)
    return {"daemon": daemon, "base": base, **tensors, "peaks": peaks, "reserved": reserved}


def _peaks_of_growing_batches(task: SegmentTask, base: int, seconds: float) -> list[tuple[int, int]]:
    """Batch sizes up to the task's, as long as time and memory allow, with the peak of each above ``base``."""
    wanted = max(task.config.batch_size, _FIRST_BATCH)
    peaks: list[tuple[int, int]] = []
    size = _FIRST_BATCH
    while True:
        # Of this process alone, so that a busy machine doesn't cut the measurement short.
        began = time.process_time()
        peaks.append((size, max(_peak_of_training(task, size) - base, 0)))
        took = time.process_time() - began
        seconds -= took
        in_time = seconds / took if len(peaks) >= _LEAST_POINTS else _GROWTH
        growth = min(_GROWTH, in_time, _FREE_SHARE * _available() / (peaks[-1][1] + 1))
        if size == wanted or growth < _LEAST_GROWTH:
            return peaks
        size = min(wanted, int(size * growth))


def _count_tensors(task: SegmentTask) -> dict[str, int]:
    """Bytes of what a step leaves: parameters with the network's other state, gradients, optimizer's state, strategy's buffers."""
    import torch

    from sparkweave.data.batches import Batch
    from sparkweave.training.loop import Stepper, make_replica
    from sparkweave.training.state import rank_of

    cpu, twin, size = torch.device("cpu"), _Twin(), task.config.batch_size
    replica = make_replica(task, _first_state(task), cpu, twin.rank)
    synchronizer = task.strategy.synchronizer(replica, twin)
    targets = torch.arange(size) % task.outputs
    batch = Batch(torch.rand(size, *task.input_shape), targets if task.labels else targets.float())
    Stepper(task, replica, synchronizer, twin, cpu).step(batch, size * _WORLD_SIZE)
    synchronizer.epoch_ended()
    synchronizer.close()
    blobs = _train(_with_batch(task, size), _first_state(task)).to_blobs()
    network = list(replica.network.state_dict().values())
    optimizer = [value for state in replica.optimizer.state.values() for value in _tensors(state)]
    known = {tensor.untyped_storage().data_ptr() for tensor in (*network, *optimizer)}
    buffers = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in _tensors(vars(synchronizer))
    }
    return {
        "parameters": sum(tensor.nbytes for tensor in network),
        "gradients": sum(parameter.nbytes for parameter in replica.parameters()),
        "optimizer": sum(tensor.nbytes for tensor in optimizer),
        "strategy": sum(size for address, size in buffers.items() if address not in known),
        "shared_state": sum(len(blob) for name, blob in blobs.items() if rank_of(name) is None),
        "local_state": sum(len(blob) for name, blob in blobs.items() if rank_of(name) is not None),
    }


def _tensors(value: Any, depth: int = 4) -> Iterator[torch.Tensor]:
    """The tensors in a nesting of containers and objects of this package, except a network's and its optimizer's."""
    import torch

    from sparkweave.strategies import Replica

    if isinstance(value, torch.Tensor):
        yield value
    elif depth and not isinstance(value, str | Replica):
        if isinstance(value, Mapping):
            inner = list(value.values())
        elif isinstance(value, list | tuple):
            inner = list(value)
        else:
            ours = type(value).__module__.startswith("sparkweave.")
            inner = list(getattr(value, "__dict__", {}).values()) if ours else []
        for item in inner:
            yield from _tensors(item, depth - 1)


def _available() -> int:
    """Memory that this machine, or this container, still has."""
    free = next(
        line.split() for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:")
    )
    return int(free[1]) << 10


def _after_importing(modules: list[str]) -> int:
    for name in modules:
        importlib.import_module(name)
    return _status("VmRSS")


def _status(field: str) -> int:
    """A line of /proc/self/status in bytes."""
    words = next(line.split() for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(words[1]) << 10


def _task(request: Mapping[str, Any]) -> SegmentTask:
    """The run's task, on one worker of two."""
    from sparkweave.config import TrainingConfig
    from sparkweave.data.batches import Normalization
    from sparkweave.data.scale import Scale
    from sparkweave.strategies import STRATEGIES
    from sparkweave.training.task import SegmentTask

    shape = tuple(request["input_shape"])
    # The smallest of rates: noise must not end the run.
    options = {**request["config"], "epochs": 1, "learning_rate": 1e-9}
    strategy: Any = STRATEGIES[request["strategy"]]
    return SegmentTask(
        network=request["network"],
        allow_code=True,
        input_shape=shape,
        labels=tuple(map(str, range(request["classes"]))),
        target=None if request["classes"] else Scale(mean=0.0, deviation=1.0),
        sizes=(0,) * _WORLD_SIZE,
        normalization=Normalization((0.5,) * shape[0], (0.25,) * shape[0]),
        strategy=strategy(**request["strategy_options"]),
        config=TrainingConfig(**{**options, "augment": tuple(options["augment"])}),
        first_epoch=1,
        last_epoch=1,
    )


def _with_batch(task: SegmentTask, size: int) -> SegmentTask:
    """``task`` with so many steps that every buffer there is has been filled."""
    config = dataclasses.replace(task.config, batch_size=size)
    return dataclasses.replace(task, config=config, sizes=(size * (config.prefetch + 2),) * _WORLD_SIZE)


def _first_state(task: SegmentTask) -> TrainingState:
    from sparkweave.networks import build_network
    from sparkweave.training.state import TrainingState

    network = build_network(task.network, input_shape=task.input_shape, classes=task.outputs, allow_code=True)
    return TrainingState(epoch=0, weights=network.state_dict())


def _train(task: SegmentTask, state: TrainingState) -> TrainingState:
    import numpy as np
    import torch

    from sparkweave.data.shard import Shard
    from sparkweave.training.loop import Progress, train_segment

    noise = np.random.default_rng(0)
    if len(task.input_shape) == 1:
        inputs: np.ndarray[Any, Any] = noise.random((_DIFFERENT_IMAGES, *task.input_shape), np.float32)
    else:
        channels, height, width = task.input_shape
        inputs = noise.integers(0, 256, (_DIFFERENT_IMAGES, height, width, channels), np.uint8)
    targets = noise.integers(0, task.outputs, _DIFFERENT_IMAGES, np.int64).astype(
        np.int64 if task.labels else np.float32
    )
    shard = Shard(inputs, targets, np.arange(task.sizes[0]) % _DIFFERENT_IMAGES)
    report: Report = lambda _: None  # noqa: E731
    return train_segment(task, state, shard, _Twin(), device=torch.device("cpu"), report=report, progress=Progress())[0]


def _peak_of_training(task: SegmentTask, size: int) -> int:
    """Of a segment as a worker runs it: from the received state to the state as bytes."""
    from sparkweave.training.state import TrainingState

    sized = _with_batch(task, size)
    blobs = _first_state(sized).to_blobs()
    with contextlib.suppress(OSError):  # then the peak is that of all the time before, too
        _RESET_PEAK.write_text("5")
    _train(sized, TrainingState.from_blobs(0, blobs)).to_blobs()
    return _status("VmHWM")


class _Twin:
    """A collective with a peer that does just the same."""

    def __init__(self) -> None:
        self.rank, self.world_size = 0, _WORLD_SIZE
        self.bytes_sent, self.bytes_received, self.seconds = 0, 0, 0.0

    def empty(self, size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        import torch

        return torch.empty(size, dtype=dtype, device=device)

    def all_reduce(self, tensor: torch.Tensor) -> None:
        tensor.mul_(_WORLD_SIZE)

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        return [tensor.detach().clone() for _ in range(_WORLD_SIZE)]

    def all_gather_bytes(self, frame: bytes) -> list[bytes]:
        return [frame] * _WORLD_SIZE


if __name__ == "__main__":
    main()
