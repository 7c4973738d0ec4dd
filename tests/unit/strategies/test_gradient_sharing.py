"""Exchanging the few updates that matter."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from tests.unit.gangs import first_state, make_shards, make_task, merged, train
from torch import nn

from sparkweave.distributed.collective import Collective
from sparkweave.distributed.in_process import InProcessCollective, run_gang
from sparkweave.errors import CollectiveError, ConfigError, TrainingError
from sparkweave.strategies import AllReduce, GradientSharing, Replica
from sparkweave.training.state import TrainingState

FIXED: dict[str, Any] = {"threshold_algorithm": "fixed", "apply_residual": False, "exchange_frequency": 1}


def make_replica(*, learning_rate: float = 1.0, dtype: torch.dtype = torch.float32) -> Replica:
    network = nn.Linear(2, 1, dtype=dtype)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    return Replica(network, torch.optim.SGD(network.parameters(), lr=learning_rate))


def steps(
    collective: Collective,
    strategy: GradientSharing,
    updates: list[tuple[float, ...]],
    examples: tuple[int, ...] = (1, 1),
) -> tuple[list[float], dict[str, Any]]:
    """The bias after each step in which ``updates`` (by rank) were added to it, and after the epoch; and what is kept."""
    replica = make_replica()
    synchronizer = strategy.synchronizer(replica, collective)
    bias = replica.parameters()[1]
    seen = []
    for update in updates:
        with torch.no_grad():
            bias += update[collective.rank]
        synchronizer.step_ended(examples[collective.rank], sum(examples))
        seen.append(bias.item())
    synchronizer.epoch_ended()
    seen.append(bias.item())
    synchronizer.close()
    return seen, dict(synchronizer.local_state())


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"threshold_algorithm": "best"},
        {"target_sparsity": 1.5},
        {"residual_clipping": -1.0},
        {"staleness": 2},
        {"staleness": True},
    ],
    ids=str,
)
def test_options_that_break_their_rule_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        GradientSharing(**options)


def test_an_update_is_sent_once_it_reaches_the_threshold_and_the_rest_waits() -> None:
    strategy = GradientSharing(threshold=0.5, **FIXED)
    for seen, local in run_gang(2, lambda gang: steps(gang, strategy, [(0.5, 0.0), (0.75, 0.0), (0.0, -2.0)])):
        assert seen == [0.0, 0.5, 0.0, 0.0]
        assert local["residual"]["bias"].item() in (0.125, -0.5)
        assert local["exchanges"] == 3


def test_nothing_of_an_update_is_lost() -> None:
    sizes = (12, 7)
    task = make_task(GradientSharing(threshold=1e3, residual_clipping=0, **FIXED), sizes, optimizer="sgd", epochs=1)
    state = TrainingState.from_blobs(1, merged(train(task, make_shards(sizes))))
    start = first_state(task)
    parameters = [name for name in start.weights if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(state.weights[name], start.weights[name]) for name in parameters)
    folded = state.folded()
    assert not torch.equal(folded.weights["5.weight"], start.weights["5.weight"])


def test_where_updates_are_sent_whole_it_trains_as_all_reduce_does() -> None:
    sizes = (12, 12)
    options: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.05, "epochs": 2}
    sharing = make_task(GradientSharing(threshold=1e-12, residual_clipping=0, **FIXED), sizes, **options)
    reducing = make_task(AllReduce(), sizes, **options)
    state = TrainingState.from_blobs(2, merged(train(sharing, make_shards(sizes)))).folded()
    expected = TrainingState.from_blobs(2, train(reducing, make_shards(sizes))[0][0])
    for name in ("0.weight", "5.weight", "5.bias"):
        moved = (expected.weights[name] - first_state(sharing).weights[name]).abs().max()
        assert (state.weights[name] - expected.weights[name]).abs().max() < 0.05 * moved


def test_updates_are_weighted_by_examples_and_one_without_examples_counts_nothing() -> None:
    strategy = GradientSharing(threshold=0.25, **FIXED)
    for seen, _ in run_gang(2, lambda gang: steps(gang, strategy, [(1.0, 0.0)], examples=(1, 3))):
        assert seen[0] == 0.25
    for seen, _ in run_gang(2, lambda gang: steps(gang, strategy, [(float("nan"), 1.0)], examples=(0, 3))):
        assert seen[0] == 0.25


def test_stale_messages_are_applied_a_step_later_and_all_by_the_end_of_the_epoch() -> None:
    strategy = GradientSharing(threshold=0.5, staleness=1, **FIXED)
    for seen, _ in run_gang(2, lambda gang: steps(gang, strategy, [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])):
        assert seen == [0.0, 0.5, 1.0, 1.0]


def test_a_worker_trains_on_its_own_residual_until_the_epoch_ends() -> None:
    strategy = GradientSharing(threshold=0.5, threshold_algorithm="fixed", exchange_frequency=1)
    (first, local), (second, _) = run_gang(2, lambda gang: steps(gang, strategy, [(1.5, 0.0), (0.25, 0.0)]))
    assert first == [0.75, 0.875, 0.5]
    assert second == [0.5, 0.5, 0.5]
    assert local["residual"]["bias"].item() == 0.375


def test_between_exchanges_workers_train_alone() -> None:
    strategy = GradientSharing(threshold=0.5, **{**FIXED, "exchange_frequency": 2})
    (first, _), (second, _) = run_gang(2, lambda gang: steps(gang, strategy, [(1.0, 3.0), (1.0, 0.0), (1.0, 1.0)]))
    assert first == [1.0, 1.0, 2.0, 2.0]
    assert second == [3.0, 1.0, 2.0, 2.0]


def test_residuals_are_clipped_every_fifth_exchange() -> None:
    strategy = GradientSharing(threshold=0.5, residual_clipping=2.0, **FIXED)
    ((_, early), _), ((_, late), _) = (
        run_gang(2, lambda gang, count=count: steps(gang, strategy, [(8.0, 0.0)] * count)) for count in (4, 5)
    )
    assert early["residual"]["bias"].item() == 4 * 4.0 - 4 * 0.5
    assert late["residual"]["bias"].item() == 2 * 0.5 - 0.5


@pytest.mark.parametrize(("update", "falls"), [(1e-9, True), (1.0, False)], ids=["too few", "too many"])
def test_the_threshold_adapts_to_what_is_sent(update: float, falls: bool) -> None:
    strategy = GradientSharing(threshold=1e-3, threshold_algorithm="adaptive", exchange_frequency=1)
    for _, local in run_gang(2, lambda gang: steps(gang, strategy, [(update, update)] * 10)):
        assert (local["threshold"] < 1e-3) is falls


def test_parameters_that_are_no_float32_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"parameters of .*float64.*gradient sharing takes float32"):
        run_gang(2, lambda gang: GradientSharing().synchronizer(make_replica(dtype=torch.float64), gang))


def test_an_update_that_is_no_number_ends_the_training() -> None:
    strategy = GradientSharing(exchange_frequency=1)
    with pytest.raises(TrainingError, match="not finite"):
        run_gang(2, lambda gang: steps(gang, strategy, [(float("inf"), 0.0)]))


def test_parameters_that_are_no_longer_the_same_end_the_training() -> None:
    def work(collective: InProcessCollective) -> None:
        replica = make_replica()
        synchronizer = GradientSharing().synchronizer(replica, collective)
        if collective.rank == 1:
            synchronizer._common[0] += 1
        synchronizer.epoch_ended()

    with pytest.raises(TrainingError, match="the parameters of the workers 1 are no longer those of worker 0"):
        run_gang(2, work)


def test_a_peer_that_is_gone_shows_where_its_message_is_waited_for() -> None:
    def work(collective: InProcessCollective) -> None:
        synchronizer = GradientSharing(staleness=1, exchange_frequency=1).synchronizer(make_replica(), collective)
        if collective.rank == 1:
            collective.abort()
            return
        synchronizer.step_ended(1, 2)
        with pytest.raises(CollectiveError):
            synchronizer.epoch_ended()
        synchronizer.close()

    run_gang(2, work)


def test_nothing_runs_on_after_the_training() -> None:
    before = set(threading.enumerate())
    train(make_task(GradientSharing(staleness=1), (8, 8)), make_shards((8, 8)))
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_messages_are_a_small_part_of_the_parameters() -> None:
    def sent(strategy: Any) -> int:
        task = make_task(strategy, (64, 64), epochs=3, batch_size=4)
        (_, tallies), _ = train(task, make_shards((64, 64)))
        return sum(tally.bytes_sent for tally in tallies)

    few = GradientSharing(threshold_algorithm="target-sparsity", threshold=0.1)
    assert sent(few) * 5 < sent(AllReduce())
