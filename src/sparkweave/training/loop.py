"""The training loop of one worker, to be read from top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from sparkweave.config import TrainingConfig
from sparkweave.data.augment import parse_augmentations
from sparkweave.data.batches import Batch, ahead, epoch_batches
from sparkweave.data.schedule import generator, permutation
from sparkweave.data.shard import Shard
from sparkweave.distributed.collective import Collective
from sparkweave.errors import TrainingError
from sparkweave.events import IterationEnded, StepMeasured
from sparkweave.networks import build_network
from sparkweave.strategies.base import Costs, Replica, Synchronizer
from sparkweave.training.allocator import keep_freed_memory
from sparkweave.training.device import autocast_dtype
from sparkweave.training.learning_rate import SCHEDULES
from sparkweave.training.losses import correct_of, loss_of, loss_unit
from sparkweave.training.optimizers import load_optimizer_state, make_optimizer
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask

_SECONDS_BETWEEN_EVENTS = 0.5
_LONGEST_PAUSE_SECONDS = 3.0


@dataclasses.dataclass(kw_only=True)
class Progress:
    """Where a worker is, for its error message. ``step`` counts from 1 within ``epoch``."""

    epoch: int = 0
    step: int = 0


@dataclasses.dataclass(kw_only=True)
class EpochTally:
    """One worker's share of an epoch: sums over its own examples, and where its time went (in seconds).

    ``correct`` is NaN where numbers are predicted.
    """

    rank: int
    epoch: int
    examples: int = 0
    loss: float = 0.0
    correct: float = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    communication_seconds: float = 0.0
    bytes_sent: int = 0
    learning_rate: float = 0.0


Report = Callable[[IterationEnded | StepMeasured | EpochTally], None]


def train_segment(
    task: SegmentTask,
    state: TrainingState,
    shard: Shard,
    collective: Collective,
    *,
    device: torch.device,
    report: Report,
    progress: Progress,
) -> tuple[TrainingState, list[EpochTally]]:
    """Trains the epochs of ``task``, and returns the state after them with this worker's tally of each.

    Args:
        task: What to do.
        state: After the epoch before ``task.first_epoch``.
        shard: This worker's examples.
        collective: The gang.
        device: Where to compute.
        report: Takes a sample of the steps as events, and each epoch's tally.
        progress: Kept up to date.

    Raises:
        TrainingError: if the loss or, at the end of an epoch, a weight is not finite.
        CollectiveError: if a peer is silent or gone.
    """
    keep_freed_memory()
    replica = make_replica(task, state, device, collective.rank)
    local = state.local.get(collective.rank, {})
    synchronizer = task.strategy.synchronizer(replica, collective, shared=state.shared, local=local)
    tallies = []
    with contextlib.closing(synchronizer):
        for epoch in range(task.first_epoch, task.last_epoch + 1):
            progress.epoch, progress.step = epoch, 0
            if task.strategy.optimizer_state == "fresh":
                replica.optimizer.state.clear()
            torch.manual_seed(int(generator(task.config.seed, "torch", epoch, collective.rank).integers(2**63)))
            tallies.append(_train_epoch(task, replica, synchronizer, shard, collective, device, report, progress))
            _require_finite(replica.network, epoch)
            report(tallies[-1])
        return _state_after(task, replica, synchronizer, collective.rank), tallies


def _state_after(task: SegmentTask, replica: Replica, synchronizer: Synchronizer, rank: int) -> TrainingState:
    optimizer = replica.optimizer.state_dict()
    kind = task.strategy.optimizer_state
    local = {**synchronizer.local_state(), **({"optimizer": optimizer} if kind == "local" else {})}
    return TrainingState(
        epoch=task.last_epoch,
        weights=replica.network.state_dict(),
        optimizer=optimizer if kind == "shared" else None,
        shared=synchronizer.shared_state(),
        local={rank: local} if local else {},
    )


def _require_finite(network: nn.Module, epoch: int) -> None:
    """An overflow in the last step of an epoch shows in no loss."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TrainingError(f"after epoch {epoch} the weights {name} are not finite; lower --learning-rate")


def make_replica(task: SegmentTask, state: TrainingState, device: torch.device, rank: int) -> Replica:
    """The network and ``rank``'s optimizer of ``state``, in the memory format that is fastest for them."""
    network = build_network(
        task.network, input_shape=task.input_shape, classes=task.outputs, allow_code=task.allow_code
    )
    network.load_state_dict(dict(state.weights))
    network.to(device)
    if any(isinstance(module, nn.Conv2d) for module in network.modules()):
        network.to(memory_format=torch.channels_last)
    config = task.config
    optimizer = make_optimizer(network, config.optimizer, config.learning_rate, config.optimizer_options)
    optimizer_state = state.local.get(rank, {}).get("optimizer", state.optimizer)
    if optimizer_state is not None:
        load_optimizer_state(optimizer, optimizer_state)
    return Replica(network.train(), optimizer)


def _train_epoch(
    task: SegmentTask,
    replica: Replica,
    synchronizer: Synchronizer,
    shard: Shard,
    collective: Collective,
    device: torch.device,
    report: Report,
    progress: Progress,
) -> EpochTally:
    tally = EpochTally(rank=collective.rank, epoch=progress.epoch)
    overflow = None if task.strategy.optimizer_state == "local" else collective
    stepper = Stepper(task, replica, synchronizer, overflow, device)
    totals = task.schedule.totals()
    sampler = _EventSampler(report, task.config, tally, len(totals), synchronizer)
    before = synchronizer.costs()
    began = time.perf_counter()
    with ahead(_batches(task, shard, progress.epoch, collective.rank, device), task.config.prefetch) as batches:
        for step, total in enumerate(totals, start=1):
            progress.step = step
            sampler.step_begins()
            batch = next(batches)
            sampler.data_ready()
            done = (progress.epoch - 1 + (step - 1) / len(totals)) / task.config.epochs
            tally.learning_rate = stepper.set_learning_rate(done)
            loss = stepper.step(batch, total)
            tally.examples += len(batch)
            tally.loss += loss * len(batch)
            sampler.step_ended(step, loss)
    synchronizer.epoch_ended()
    tally.seconds = time.perf_counter() - began
    tally.correct = int(stepper.correct) if task.labels else math.nan
    costs = synchronizer.costs() - before
    tally.bytes_sent = costs.bytes_sent
    tally.communication_seconds = costs.seconds
    return tally


def _batches(task: SegmentTask, shard: Shard, epoch: int, rank: int, device: torch.device) -> Iterator[Batch]:
    config = task.config
    return epoch_batches(
        shard,
        permutation(len(shard), seed=config.seed, epoch=epoch, rank=rank),
        task.schedule.bounds(rank),
        normalization=task.normalization,
        device=device,
        augment=parse_augmentations(config.augment) if config.augment else None,
        generator=generator(config.seed, "augment", epoch, rank),
    )


class Stepper:
    """Makes one optimizer step after the other."""

    def __init__(
        self,
        task: SegmentTask,
        replica: Replica,
        synchronizer: Synchronizer,
        overflow: Collective | None,
        device: torch.device,
    ) -> None:
        """For one epoch; ``overflow`` is the gang whose optimizers must make the same steps."""
        config = task.config
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self._zero = torch.zeros((), device=device)
        self._task = task
        self._config = config
        self._loss_unit = loss_unit(task)
        self._replica = replica
        self._synchronizer = synchronizer
        self._overflow = overflow
        self._device = device
        self._dtype = autocast_dtype(config.precision)
        # Made anew each epoch, so that its state need not be kept between segments.
        self._scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")

    def set_learning_rate(self, progress: float) -> float:
        """Sets and returns the learning rate after a share ``progress`` of all steps."""
        rate = self._config.learning_rate * SCHEDULES[self._config.schedule](progress)
        for group in self._replica.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def step(self, batch: Batch, total: int) -> float:
        """Trains on ``batch`` and returns its mean loss; ``total`` are the examples of all workers in this step."""
        optimizer = self._replica.optimizer
        optimizer.zero_grad(set_to_none=True)
        loss = self._backward(batch) if len(batch) else self._zero_gradients()
        self._synchronizer.gradients_ready(len(batch), total)
        if self._scaler.is_enabled():
            self._unscale()
        self._scaler.step(optimizer)
        self._scaler.update()
        self._synchronizer.step_ended(len(batch), total)
        return loss

    def _backward(self, batch: Batch) -> float:
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None):
            output = self._replica.network(batch.inputs)
        loss = loss_of(output.float(), batch, self._task)
        value = loss.item() * self._loss_unit
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value}; lower --learning-rate ({self._config.learning_rate:g}), "
                "or look for broken inputs and labels"
            )
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.correct += correct_of(output.detach(), batch)
        return value

    def _zero_gradients(self) -> float:
        for parameter in self._replica.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self._scaler.scale(self._zero)
        return 0.0

    def _unscale(self) -> None:
        """Where one worker's gradients overflow all skip the step, so that all optimizers make the same steps."""
        self._scaler.unscale_(self._replica.optimizer)
        if self._overflow is not None and self._overflow.world_size > 1:
            for found in self._scaler._found_inf_per_device(self._replica.optimizer).values():
                self._overflow.all_reduce(found)
                found.clamp_(max=1)  # fused kernels compare it with 1


class _EventSampler:
    """Reports about two steps a second, and each one that was asked for."""

    def __init__(
        self, report: Report, config: TrainingConfig, tally: EpochTally, steps: int, synchronizer: Synchronizer
    ) -> None:
        self._report = report
        self._every = config.log_every
        self._measures = config.collect_training_stats
        self._tally = tally
        self._steps = steps
        self._synchronizer = synchronizer
        self._costs = synchronizer.costs()
        # All workers draw the same steps, by their number: at equal times a sample could miss every exchange, or see little else.
        self._draws = np.random.default_rng(tally.epoch).random(steps)
        self._epoch_began = self._last_time = time.perf_counter()
        self._last_examples = 0
        self._began = self._last_time
        self._data_seconds = 0.0

    def step_begins(self) -> None:
        self._began = time.perf_counter()

    def data_ready(self) -> None:
        self._data_seconds = time.perf_counter() - self._began
        self._tally.data_seconds += self._data_seconds

    def step_ended(self, step: int, loss: float) -> None:
        now = time.perf_counter()
        before, self._costs = self._costs, self._synchronizer.costs()
        is_drawn = self._draws[step - 1] * _SECONDS_BETWEEN_EVENTS < (now - self._epoch_began) / step
        due = is_drawn or now - self._last_time >= _LONGEST_PAUSE_SECONDS
        iteration = (self._tally.epoch - 1) * self._steps + step
        if not due and not (self._every and iteration % self._every == 0) and step != self._steps:
            return
        examples = self._tally.examples - self._last_examples
        self._report(
            IterationEnded(
                epoch=self._tally.epoch,
                step=step,
                steps=self._steps,
                rank=self._tally.rank,
                loss=loss,
                images_per_second=examples / max(now - self._last_time, 1e-9),
            )
        )
        if self._measures:
            self._report(self._measured(step, now - self._began, self._costs - before))
        self._last_time, self._last_examples = time.perf_counter(), self._tally.examples

    def _measured(self, step: int, seconds: float, costs: Costs) -> StepMeasured:
        sparsity = self._synchronizer.sparsity()
        return StepMeasured(
            epoch=self._tally.epoch,
            step=step,
            rank=self._tally.rank,
            host="",
            time=time.time() - seconds,
            seconds=seconds,
            data_seconds=self._data_seconds,
            compute_seconds=max(seconds - self._data_seconds - costs.seconds, 0.0),
            encode_seconds=costs.encode_seconds,
            wait_seconds=costs.wait_seconds,
            apply_seconds=costs.apply_seconds,
            bytes_sent=costs.bytes_sent,
            bytes_received=costs.bytes_received,
            **(dataclasses.asdict(sparsity) if sparsity else {}),
        )
