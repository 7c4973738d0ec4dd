"""Whether a session's workers learn what one process learns, on a few steps: asked before a long run.

The same steps are trained three times from one start: by the workers, on the way that a run takes; by as many ranks that are
threads of this process; and by one worker alone, on batches as large as all workers' together. The first two must agree. The third
shows how far the strategy itself leads from what one worker would have learnt, which is no fault.

Executors with CPUs of another kind round otherwise than this machine, and training amplifies that. With AVX2 or SSE 4.1 instead of AVX-512,
20 steps of two workers led LeNet up to 1 % of its way elsewhere, and the built-in residual network 43 % (of the many equal maxima in a
background another one is the largest). No tolerance tells that from a fault. So where the bits differ, one more step decides, in
float32 and with plain SGD, which amplifies nothing: there rounding came to 0.003 % at most (0.013 % where averages are sent in bfloat16),
for these and two other networks and all strategies, and a worker's contribution that is lost to 48 % at least.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from pyspark.sql import DataFrame, SparkSession

from sparkweave.config import require_at_least
from sparkweave.data.shard import Shard
from sparkweave.data.summary import DatasetSummary, check_trainable
from sparkweave.errors import ConfigError, ResourceError, TrainingError
from sparkweave.networks import build_network
from sparkweave.spark.dataset import Dealt, sharded
from sparkweave.spark.memory import check_memory
from sparkweave.spark.run import Run, RunOptions
from sparkweave.spark.sample import collected, sampled
from sparkweave.spark.session import has_ended
from sparkweave.spark.slots import refuse_plaintext, refuse_settings, require_slots, session_settings
from sparkweave.spark.trainer import Trainer
from sparkweave.strategies import AllReduce, Strategy
from sparkweave.training.comparison import Comparison, compare
from sparkweave.training.loop import Report
from sparkweave.training.one_process import Trained, alone, parts, train_in_one_process
from sparkweave.training.randomness import WithoutDropout, draws_random_numbers, switch_off_dropout
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask
from sparkweave.training.verification import Verification

_GPUS = "spark.task.resource.gpu.amount"
_PLAIN_STEP: Mapping[str, Any] = {
    "optimizer": "sgd",
    "optimizer_options": {},
    "learning_rate": 0.1,
    "schedule": "constant",
    "precision": "float32",
}


def verify(
    trainer: Trainer, df: DataFrame, *, steps: int = 20, told: Callable[[str], None] = lambda _: None
) -> Verification:
    """Trains a few steps as ``trainer`` would, and the same in this process, and compares.

    Args:
        trainer: Whose network, strategy and configuration are used; its checkpoints and callbacks are left alone.
        df: As `read_image_archives` returns it. All of it is read, twice; as many images as the steps take are trained on.
        steps: How many; fewer where there are fewer images.
        told: Takes a line before each part of the work.

    Raises:
        ConfigError: if one process can't do what the workers do: see `refuse_unverifiable`.
        DataError: if the images can't be trained on.
        ResourceError: if the session can't run the workers, or has too little memory for them.
        WorkerError: if a worker failed.

    Example:
        >>> trainer = Trainer("lenet", config=TrainingConfig(workers=8))  # doctest: +SKIP
        >>> verify(trainer, read_image_archives(spark, "train.zip")).verdict  # doctest: +SKIP
        'identical'
    """
    require_at_least("steps", steps, 1)
    refuse_unverifiable(trainer)
    spark = df.sparkSession
    refuse_settings(spark)
    _refuse_gpus(spark)
    workers = require_slots(spark, trainer.options.config.workers)
    refuse_plaintext(spark, workers, trainer.options.interconnect)
    options = _options(trainer.options, workers)
    told("Choosing images and dealing them out")
    with _prepared(options, df, steps) as trial:
        found = trial.verification(told)
    if found.comparison.identical:
        return found
    told("The bits differ: training one plain step, to see whether that is rounding")
    plain = dataclasses.replace(options, config=dataclasses.replace(options.config, **_PLAIN_STEP))
    with _prepared(plain, df, 1) as trial:
        return dataclasses.replace(found, plain_step=trial.compared(trial.by_workers(), trial.in_one_process()))


def refuse_unverifiable(trainer: Trainer) -> None:
    """Raises ConfigError if ranks that are threads can't do what the workers do; needs no session."""
    strategy = trainer.options.strategy
    if isinstance(strategy, AllReduce) and strategy.compression != "none":
        raise ConfigError(
            f"compression is {strategy.compression!r}: PyTorch's compressions need processes that torch.distributed connects, and what "
            "the workers are compared with are threads of one process. Verify with --compression none; all else is the same then"
        )


def _refuse_gpus(spark: SparkSession) -> None:
    amount = session_settings(spark).get(_GPUS, "0")
    if float(amount) > 0:
        raise ConfigError(
            f"{_GPUS} is {amount}, and the one process that the workers are compared with computes on the CPU, which rounds otherwise "
            f"than GPUs; verify with --conf {_GPUS}=0"
        )


def _options(options: RunOptions, workers: int) -> RunOptions:
    """Of one epoch, with nothing around it."""
    config = dataclasses.replace(
        options.config, epochs=1, workers=workers, min_workers=None, evaluate_every=0, collect_training_stats=False
    )
    return dataclasses.replace(options, config=config, callbacks=(), checkpoint_dir=None, resume=False)


@contextlib.contextmanager
def _prepared(options: RunOptions, df: DataFrame, steps: int) -> Iterator[_Trial]:
    """The images of so many steps, dealt out."""
    config = options.config
    assert config.workers is not None
    images = sampled(df, shards=config.workers, most=steps * config.batch_size, seed=config.seed)
    with sharded(
        images,
        shards=config.workers,
        seed=config.seed,
        level=config.storage_level,
        max_bad_fraction=config.max_bad_fraction,
    ) as dealt:
        check_trainable(dealt[1], config.workers)
        check_memory(df.sparkSession, options, dealt[1])
        yield _Trial.of(options, dealt)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Trial:
    """The same steps for all: for the workers, for one process, for one worker alone."""

    options: RunOptions
    summary: DatasetSummary
    examined: _Examined
    run: Run
    task: SegmentTask
    start: TrainingState
    whole: Shard
    threads: int
    report: Report

    @classmethod
    def of(cls, options: RunOptions, dealt: Dealt) -> _Trial:
        blocks, summary = dealt
        spark = blocks.sparkSession
        examined = _examined(options.network, summary)
        strategy = WithoutDropout(options.strategy) if examined.dropout else options.strategy
        run = Run(dataclasses.replace(options, strategy=strategy), dealt, None, deal_anew=_deal_anew)
        task = run.task(0)
        return cls(
            options=options,
            summary=summary,
            examined=examined,
            run=run,
            task=task,
            start=run.first_state(),
            whole=collected(blocks, task),
            threads=int(session_settings(spark).get("spark.task.cpus", "1")),
            report=_unless_ended(spark),
        )

    def verification(self, told: Callable[[str], None]) -> Verification:
        steps, workers = self.task.schedule.steps, len(self.task.sizes)
        told(f"Training {steps:,} steps on {self.summary.examples:,} images with {workers} workers")
        by_workers = self.by_workers()
        told("Training the same in one process")
        in_one_process = self.in_one_process()
        told("Training the same images with one worker alone")
        by_one_worker = self.by_one_worker()
        return Verification(
            network=str(self.options.network["name"]),
            strategy=self.options.strategy.name,
            images=self.summary.examples,
            workers=workers,
            steps=steps,
            batch_size=self.options.config.batch_size,
            dropout=self.examined.dropout,
            comparison=self.compared(by_workers, in_one_process),
            loss=by_workers.loss,
            loss_in_one_process=in_one_process.loss,
            loss_alone=by_one_worker.loss if by_one_worker else None,
            distance_to_alone=self.compared(by_workers, by_one_worker).distance if by_one_worker else None,
        )

    def by_workers(self) -> Trained:
        model = self.run.train()
        (loss,) = [record["loss"] for record in model.history if record["event"] == "epoch"]
        return Trained(weights=model.artifact.weights, loss=loss)

    def in_one_process(self) -> Trained:
        return self._train(self.task, parts(self.whole, self.task.sizes))

    def by_one_worker(self) -> Trained | None:
        """None if its larger batches lead it where no loss is finite."""
        strategy: Strategy = WithoutDropout(AllReduce()) if self.examined.dropout else AllReduce()
        task, shard = alone(self.task, self.whole, strategy)
        try:
            return self._train(task, [shard])
        except TrainingError:
            return None

    def compared(self, one: Trained, other: Trained) -> Comparison:
        return compare(one.weights, other.weights, self.start.weights, self.examined.parameters)

    def _train(self, task: SegmentTask, shards: Sequence[Shard]) -> Trained:
        return train_in_one_process(task, self.start, shards, threads=self.threads, report=self.report)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Examined:
    """A network's layers with dropout, and the names of its parameters."""

    dropout: int
    parameters: frozenset[str]


def _examined(description: Mapping[str, Any], summary: DatasetSummary) -> _Examined:
    """Builds the network once, to see what it is.

    Raises:
        ConfigError: if it draws random numbers that can't be switched off.
    """
    with torch.random.fork_rng(devices=[]):
        network = build_network(description, input_shape=summary.shape, classes=summary.outputs, allow_code=True)
    parameters = frozenset(name for name, _ in network.named_parameters())
    dropout = switch_off_dropout(network)
    if draws_random_numbers(network, summary.shape):
        raise ConfigError(
            f"network {description['name']} draws random numbers of its own as it trains, and threads of one process, which the workers are "
            "compared with, can't each have theirs; verify with a network that draws none, or with dropout from torch.nn.Dropout, "
            "which can be switched off"
        )
    return _Examined(dropout=dropout, parameters=parameters)


def _deal_anew(workers: int) -> Dealt:
    raise AssertionError(f"without min_workers a run never goes on with {workers} workers")


def _unless_ended(spark: SparkSession) -> Report:
    """Ends a training in this process where the session has ended: the user has interrupted the command."""

    def report(_: object) -> None:
        if has_ended(spark):
            raise ResourceError("the Spark session has ended: it was stopped, or its application was killed")

    return report
