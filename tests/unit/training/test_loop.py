"""The training loop."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.unit.gangs import (
    CPU,
    RANDOM_NETWORK,
    common,
    first_state,
    make_shard,
    make_shards,
    make_task,
    merged,
    train,
    train_in_processes,
)
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from sparkweave.config import TrainingConfig
from sparkweave.data.batches import Batch
from sparkweave.distributed.in_process import InProcessCollective, run_gang
from sparkweave.errors import TrainingError
from sparkweave.events import Event, IterationEnded, StepMeasured
from sparkweave.strategies import AllReduce, GradientSharing, ParameterAveraging, Replica, Strategy
from sparkweave.strategies.base import Costs
from sparkweave.training import loop
from sparkweave.training.loop import EpochTally, Progress, Stepper, _EventSampler, _require_finite, train_segment
from sparkweave.training.optimizers import make_optimizer
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask

STRATEGIES = {
    "all-reduce": AllReduce(),
    "averaging": ParameterAveraging(averaging_frequency=2),
    "averaging, optimizers apart": ParameterAveraging(averaging_frequency=2, save_optimizer=False),
    "averaging, outer optimizer": ParameterAveraging(averaging_frequency=2, outer_optimizer="nesterov"),
    "averaging, bfloat16": ParameterAveraging(averaging_frequency=2, averaging_precision="bfloat16"),
    "sharing": GradientSharing(threshold=5e-3, threshold_algorithm="adaptive", exchange_frequency=1),
    "sharing, stale": GradientSharing(
        threshold=5e-3, threshold_algorithm="adaptive", exchange_frequency=1, staleness=1
    ),
}
OPTIMIZERS = {"adam": ("adam", {}), "sgd": ("sgd", {"momentum": 0.9}), "rmsprop": ("RMSprop", {"momentum": 0.5})}
RANDOM: dict[str, Any] = {"network": RANDOM_NETWORK, "augment": ("flip", "crop:1")}

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
each_optimizer = pytest.mark.parametrize(("optimizer", "optimizer_options"), OPTIMIZERS.values(), ids=OPTIMIZERS)


def in_two_segments(task: SegmentTask, gang: Any, sizes: tuple[int, ...]) -> dict[str, bytes]:
    """The state after each epoch of ``task`` was a segment of its own, started from the bytes that the one before left."""
    blobs = first_state(task).to_blobs()
    for epoch in (1, 2):
        part = dataclasses.replace(task, first_epoch=epoch, last_epoch=epoch)
        blobs = merged(gang(part, make_shards(sizes), blobs))
    return blobs


@each_strategy
@each_optimizer
@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_one_worker_can_go_on_from_bytes(
    strategy: Strategy, optimizer: str, optimizer_options: dict[str, Any], schedule: str
) -> None:
    options = {**RANDOM, "optimizer": optimizer, "optimizer_options": optimizer_options, "schedule": schedule}
    task = make_task(strategy, (13,), **options)
    ((straight, _),) = train(task, make_shards((13,)))
    assert in_two_segments(task, train, (13,)) == straight


@each_strategy
@each_optimizer
@pytest.mark.parametrize("sizes", [(13, 10), (9, 2)], ids=str)
def test_a_gang_can_go_on_from_bytes(
    strategy: Strategy, optimizer: str, optimizer_options: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    task = make_task(strategy, sizes, **RANDOM, optimizer=optimizer, optimizer_options=optimizer_options)
    straight = merged(train_in_processes(task, make_shards(sizes)))
    assert in_two_segments(task, train_in_processes, sizes) == straight


@each_strategy
def test_the_same_seed_gives_the_same_model_and_another_one_does_not(strategy: Strategy) -> None:
    one, again, other = (
        train_in_processes(make_task(strategy, (8, 8), **RANDOM, seed=seed), make_shards((8, 8)))[0][0]
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


@pytest.mark.parametrize("prefetch", [1, 3])
def test_preparing_batches_ahead_changes_nothing_but_the_time(prefetch: int) -> None:
    (plain, _), (ahead, _) = (
        train(make_task(AllReduce(), (13,), **RANDOM, prefetch=count), make_shards((13,)))[0] for count in (0, prefetch)
    )
    assert plain == ahead


def test_a_network_learns() -> None:
    task = make_task(ParameterAveraging(), (60, 60), epochs=5, batch_size=8, learning_rate=0.01, label_smoothing=0.05)
    trained = train(task, make_shards((60, 60)))
    losses = [sum(tallies[epoch].loss for _, tallies in trained) / 120 for epoch in range(5)]
    assert losses[-1] < losses[0] / 2
    assert sum(tallies[-1].correct for _, tallies in trained) > 110


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@each_strategy
def test_mixed_precision_learns_too(strategy: Strategy, precision: str) -> None:
    sizes = (30, 20)
    task = make_task(strategy, sizes, epochs=4, learning_rate=0.01, precision=precision)
    (first, tallies), (second, _) = train(task, make_shards(sizes))
    assert common(first) == common(second)
    assert tallies[-1].loss < tallies[0].loss * 0.8
    weights = TrainingState.from_blobs(4, first).weights
    assert all(tensor.dtype == torch.float32 for tensor in weights.values() if tensor.is_floating_point())


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@each_strategy
def test_a_worker_whose_first_batches_are_empty_keeps_up(strategy: Strategy, precision: str) -> None:
    sizes = (20, 1)
    trained = train(make_task(strategy, sizes, precision=precision), make_shards(sizes))
    assert common(trained[0][0]) == common(trained[1][0])
    assert [tallies[1].examples for _, tallies in trained] == [20, 1]


def run(task: SegmentTask, examples: int = 13) -> tuple[list[Event], Progress, list[EpochTally]]:
    events: list[Event] = []
    progress = Progress()
    ((_, tallies),) = run_gang(
        1,
        lambda collective: train_segment(
            task,
            first_state(task),
            make_shard(examples),
            collective,
            device=CPU,
            report=events.append,
            progress=progress,
        ),
    )
    return events, progress, tallies


def test_a_tally_tells_of_an_epochs_examples_time_and_learning_rate() -> None:
    _, progress, tallies = run(make_task(AllReduce(), (13,), epochs=2, learning_rate=0.25))
    assert [(tally.rank, tally.epoch, tally.examples, tally.learning_rate) for tally in tallies] == [
        (0, 1, 13, 0.25),
        (0, 2, 13, 0.25),
    ]
    for tally in tallies:
        assert 0 < tally.loss < 13 * 10
        assert 0 <= tally.correct <= 13
        assert 0 < tally.data_seconds < tally.seconds
        assert tally.communication_seconds == tally.bytes_sent == 0
    assert (progress.epoch, progress.step) == (2, 4)


def test_a_tally_tells_of_the_communication() -> None:
    for _, tallies in train(make_task(AllReduce(), (8, 8)), make_shards((8, 8))):
        for tally in tallies:
            assert 0 < tally.communication_seconds < tally.seconds
            assert tally.bytes_sent > 0


@each_strategy
def test_steps_are_measured_where_that_is_asked_for(strategy: Strategy) -> None:
    task = make_task(strategy, (9, 9), epochs=1, log_every=1, collect_training_stats=True)
    state = first_state(task)

    def work(collective: InProcessCollective) -> list[Any]:
        reports: list[Any] = []
        shard = make_shard(9)
        train_segment(task, state, shard, collective, device=CPU, report=reports.append, progress=Progress())
        return reports

    for rank, reports in enumerate(run_gang(2, work)):
        measured = [report for report in reports if isinstance(report, StepMeasured)]
        assert [(event.epoch, event.step, event.rank) for event in measured] == [
            (1, 1, rank),
            (1, 2, rank),
            (1, 3, rank),
        ]
        for event in measured:
            parts = (event.data_seconds, event.compute_seconds, event.encode_seconds, event.wait_seconds)
            assert all(part >= 0 for part in parts)
            assert sum(parts) + event.apply_seconds == pytest.approx(event.seconds)
        tally = reports[-1]
        assert tally.bytes_sent >= sum(event.bytes_sent for event in measured) > 0
        assert sum(event.bytes_received for event in measured) > 0
        sparse = strategy.name == "gradient-sharing"
        assert [event.threshold is not None for event in measured] == [sparse] * 3


def sampled_steps(monkeypatch: pytest.MonkeyPatch, seconds_of: Callable[[int], float], steps: int) -> list[int]:
    """Which steps of an epoch are measured, where each takes so long."""
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now, time=lambda: clock.now)
    monkeypatch.setattr(loop, "time", clock)
    silent: Any = SimpleNamespace(costs=Costs, sparsity=lambda: None)
    config = TrainingConfig(collect_training_stats=True)
    reports: list[Any] = []
    sampler = _EventSampler(reports.append, config, EpochTally(rank=0, epoch=1), steps, silent)
    for step in range(1, steps + 1):
        sampler.step_begins()
        sampler.data_ready()
        clock.now += seconds_of(step)
        sampler.step_ended(step, 0.5)
    return [report.step for report in reports if isinstance(report, StepMeasured)]


@pytest.mark.parametrize("every", [5, 20])
def test_steps_with_an_exchange_are_in_the_sample_as_often_as_they_are(
    every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sampled_steps(monkeypatch, lambda step: 0.3 if step % every == 0 else 0.02, 40_000)
    assert sum(step % every == 0 for step in found) / len(found) == pytest.approx(1 / every, rel=0.25)


def test_about_two_steps_a_second_are_measured_and_by_all_workers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, slow = (sampled_steps(monkeypatch, lambda _, pace=pace: pace, 5000) for pace in (0.02, 0.021))
    assert len(quick) == pytest.approx(2 * 5000 * 0.02, rel=0.2)
    assert len(set(quick) & set(slow)) > 0.8 * len(slow)


def test_after_some_seconds_a_step_is_measured_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sampled_steps(monkeypatch, lambda step: 0.001 if step < 2000 else 1.0, 2030)
    assert max(after - before for before, after in itertools.pairwise(step for step in found if step >= 2000)) <= 4


def test_steps_are_not_measured_otherwise() -> None:
    events, _, _ = run(make_task(AllReduce(), (13,), log_every=1))
    assert not any(isinstance(event, StepMeasured) for event in events)


def test_the_learning_rate_follows_the_steps_of_the_whole_run() -> None:
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    reference = CosineAnnealingLR(optimizer, T_max=8)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    _, _, tallies = run(make_task(AllReduce(), (13,), epochs=2, learning_rate=0.5, schedule="cosine"))
    assert [tally.learning_rate for tally in tallies] == pytest.approx([rates[3], rates[7]])


@pytest.mark.parametrize("every", [1, 3, 0])
def test_events_are_told_every_so_many_iterations_and_at_the_end_of_an_epoch(every: int) -> None:
    events, _, tallies = run(make_task(AllReduce(), (13,), epochs=2, log_every=every))
    told = [event for event in events if isinstance(event, IterationEnded)]
    steps = [((event.epoch - 1) * 4 + event.step) for event in told]
    expected = {iteration for iteration in range(1, 9) if every and iteration % every == 0} | {4, 8}
    assert expected <= set(steps) <= set(range(1, 9))
    assert all(event.steps == 4 and event.rank == 0 and event.images_per_second > 0 for event in told)
    if every == 1:
        first_epoch = [event.loss for event in told if event.epoch == 1]
        assert sum(loss * size for loss, size in zip(first_epoch, (3, 3, 3, 4), strict=True)) == pytest.approx(
            tallies[0].loss
        )


def test_a_loss_that_is_no_number_stops_at_its_step() -> None:
    task = make_task(AllReduce(), (13,), learning_rate=1e30, optimizer="sgd")
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf); lower --learning-rate \(1e\+30\)"):
        run(task)


def test_label_smoothing_raises_the_loss_of_a_sure_network() -> None:
    losses = []
    for smoothing in (0.0, 0.5):
        _, _, tallies = run(make_task(AllReduce(), (60,), epochs=6, learning_rate=0.02, label_smoothing=smoothing), 60)
        losses.append(tallies[-1].loss / 60)
    assert losses[0] < 0.3 < losses[1]
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("strategy", [case for case in STRATEGIES.values() if case.optimizer_state != "local"], ids=str)
@pytest.mark.parametrize("optimizer", ["adam", "RMSprop"])
def test_where_one_workers_float16_gradients_overflow_all_skip_the_step(strategy: Strategy, optimizer: str) -> None:
    def work(collective: InProcessCollective) -> tuple[list[float], list[int]]:
        network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
        replica = Replica(network, make_optimizer(network, optimizer, 0.1, {}))
        config = TrainingConfig(precision="float16", optimizer=optimizer, batch_size=1)
        task = make_task(strategy, (1, 1), **dataclasses.asdict(config))
        stepper = Stepper(task, replica, strategy.synchronizer(replica, collective), collective, CPU)
        labels = torch.zeros(1, dtype=torch.int64)
        for pixel in (4.0 if collective.rank else 0.5, 0.5):
            stepper.step(Batch(torch.full((1, 1, 1, 2), pixel), labels), 2)
        steps = {int(state["step"]) for state in replica.optimizer.state.values()}
        return network[1].bias.tolist(), sorted(steps)  # type: ignore[operator, union-attr]

    (bias, steps), (other_bias, other_steps) = run_gang(2, work)
    assert steps == other_steps == [1]
    assert bias == other_bias != [0, 0]


def test_weights_that_are_not_finite_end_the_training() -> None:
    network = torch.nn.Linear(2, 2)
    _require_finite(network, 3)
    with torch.no_grad():
        network.bias[1] = float("inf")
    with pytest.raises(TrainingError, match="after epoch 3 the weights bias are not finite; lower --learning-rate"):
        _require_finite(network, 3)
