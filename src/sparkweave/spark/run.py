"""A run: segment after segment, each from the state that the one before left, until the last epoch."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from sparkweave.artifacts.checkpoint import CheckpointStore
from sparkweave.artifacts.lease import Lease
from sparkweave.artifacts.model import ModelArtifact
from sparkweave.config import TrainingConfig
from sparkweave.data.batches import Normalization
from sparkweave.distributed.channel import ChannelServer
from sparkweave.distributed.network import DIRECT, Network
from sparkweave.errors import ConfigError, ResourceError, WorkerError
from sparkweave.events import Evaluated, Event, Resharded, Restarted, RunEnded, RunStarted, StepMeasured, to_record
from sparkweave.metrics.document import AnyEvaluation, to_document
from sparkweave.metrics.evaluation import Evaluation
from sparkweave.metrics.regression import RegressionEvaluation
from sparkweave.networks import build_network
from sparkweave.spark.clock import clock_offset
from sparkweave.spark.dataset import Dealt
from sparkweave.spark.listener import Listener, epochs_ended
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.runtime import runtime_of
from sparkweave.spark.segment import SegmentFailed, is_unreachable, run_segment
from sparkweave.spark.session import has_ended
from sparkweave.spark.slots import require_slots
from sparkweave.spark.storage import storage_for
from sparkweave.strategies import Strategy
from sparkweave.training.callbacks import Callback, dispatch
from sparkweave.training.early_stopping import EarlyStopping
from sparkweave.training.optimizers import make_optimizer
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask

_HISTORY = "history.json"
_LONGEST_PAUSE_SECONDS = 30.0
_SLOTS_BACK_SECONDS = 120.0
_MOST_TAKEN = 20
_MOST_MEASURED = 4000
_SESSION_ENDED = (
    "the Spark session ended during training: it was stopped, or its application was killed. "
    "--resume goes on from the last checkpoint"
)
# Options that change how fast, how safely or how visibly a run gets to its model, but not the model.
_WITHOUT_EFFECT = (
    "workers",
    "min_workers",
    "prefetch",
    "storage_level",
    "log_every",
    "collect_training_stats",
    "time_source",
    "ntp_server",
    "collective_timeout_seconds",
    "max_restarts",
    "segment_seconds",
    "native_memory",
    "ignore_memory_plan",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run is asked to do, see `Trainer`."""

    network: Mapping[str, Any]
    strategy: Strategy
    config: TrainingConfig
    callbacks: Sequence[Callback] = ()
    class_names: Mapping[str, str] | None = None
    checkpoint_dir: str | None = None
    resume: bool = False
    interconnect: Network = DIRECT
    index_labels: bool = False


class Run:
    """One training, from the first state to the trained model."""

    def __init__(
        self,
        options: RunOptions,
        dealt: Dealt,
        test: DataFrame | None,
        *,
        deal_anew: Callable[[int], Dealt],
        lease: Lease | None = None,
        test_digest: str = "",
    ) -> None:
        """Touches nothing yet.

        Args:
            options: What is asked for.
            dealt: The images, see `sparkweave.spark.dataset.sharded`.
            test: Images to measure the model on.
            deal_anew: Deals the images out to another number of workers; what was dealt before is gone then.
            lease: Of the checkpoints' folder.
            test_digest: Of ``test``, see `sparkweave.data.summary.DatasetSummary`.
        """
        self._options = options
        self._lease = lease
        self._config = options.config
        self._blocks, self._summary = dealt
        self._deal_anew = deal_anew
        self._test = test
        self._test_digest = test_digest
        self._spark = self._blocks.sparkSession
        self._history: list[dict[str, Any]] = []
        self._store = self._checkpoint_store()
        self._stopping = EarlyStopping(self._config.patience)
        self._seconds_an_epoch = 0.0
        self._evaluation: AnyEvaluation | None = None
        self._callback_error: Exception | None = None
        self._measured: list[StepMeasured] = []
        self._attempts: list[WorkerError] = []
        self._taken = 0

    def train(self) -> TrainedModel:
        """Trains segment after segment.

        Raises:
            WorkerError: if a worker failed, and running the segment again didn't help.
            ArtifactError: if a checkpoint can't be written, or is another run's.
        """
        began = time.monotonic()
        state = self.first_state()
        first_epoch = state.epoch + 1
        self._tell(self._run_started(state))
        runtime, network = runtime_of(self._spark), self._options.interconnect
        driver = network.controller_host or runtime.driver_host()
        endpoint = network.endpoint(*runtime.own_address())
        offset = clock_offset(self._config.time_source, self._config.ntp_server)
        listener = Listener(self._tell_live, epochs=self._config.epochs, clock_offset=offset)
        with ChannelServer(listener.receive, closed=listener.closed, **dataclasses.asdict(endpoint)) as channel:
            self._evaluate_if_due(state)
            while state.epoch < self._config.epochs and not self._stopping.is_due:
                state = self._train_segment(state, driver, channel, listener)
                self._save_checkpoint(state)
                if self._callback_error is not None:
                    raise self._callback_error
                self._evaluate_if_due(state)
        seconds = time.monotonic() - began
        examples = self._summary.examples * (state.epoch - first_epoch + 1)
        self._tell(
            RunEnded(epochs=state.epoch, seconds=seconds, examples=examples, images_per_second=examples / seconds)
        )
        best = self._stopping.best or state
        if self._test is not None and self._evaluation is None:  # the best epoch was before the run was taken up again
            self._evaluation = self._evaluated(best)
        return self._model(best, self._evaluation)

    def first_state(self) -> TrainingState:
        """From the newest checkpoint, or newly initialized."""
        checkpoint = self._store.latest() if self._store and self._options.resume else None
        if checkpoint is not None:
            if checkpoint.epoch > self._config.epochs:
                raise ConfigError(
                    f"epochs is {self._config.epochs}, and the checkpoint to go on from is of epoch {checkpoint.epoch}; "
                    "ask for more epochs, or start without resuming"
                )
            self._history = json.loads(checkpoint.blobs[_HISTORY])
            self._stopping.resume(checkpoint.blobs, self._history)
            return TrainingState.from_blobs(checkpoint.epoch, checkpoint.blobs)
        if self._store:
            self._store.clear()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._config.seed)
            network = build_network(
                self._options.network,
                input_shape=self._summary.shape,
                classes=self._summary.outputs,
                allow_code=True,
            )
        make_optimizer(network, self._config.optimizer, self._config.learning_rate, self._config.optimizer_options)
        return TrainingState(epoch=0, weights=network.state_dict())

    def _train_segment(
        self, state: TrainingState, driver: str, channel: ChannelServer, listener: Listener
    ) -> TrainingState:
        """The next epochs; run again if that fails, as often as allowed."""
        while True:
            self._await_workers(state)
            task = self.task(state.epoch)
            if set(state.local) != set(range(len(task.sizes))):
                state = state.folded()
            self._measured.clear()
            try:
                address = channel.next_attempt()
                end, tallies = run_segment(
                    self._blocks,
                    task,
                    state,
                    driver=driver,
                    channel=address,
                    listener=listener,
                    network=self._options.interconnect,
                )
                break
            except SegmentFailed as failed:
                self._prepare_restart(failed, state)
        channel.next_attempt()  # from here on nothing is told from the channel's threads
        self._keep_measured()
        for event in epochs_ended(tallies, self._config.epochs):
            self._seconds_an_epoch = event.seconds
            self._history.append(to_record(event))
            if event.epoch not in listener.told_epochs:
                self._tell_live(event)
        return end

    def _await_workers(self, state: TrainingState) -> None:
        """Until there are slots for all workers; if they don't come, the images are dealt out to fewer, where that is allowed."""
        workers = len(self._summary.sizes)
        least = min(self._config.min_workers or workers, workers)
        try:
            slots = require_slots(self._spark, workers, least=least, wait_seconds=_SLOTS_BACK_SECONDS)
        except (ResourceError, Py4JError, PySparkException) as error:
            if has_ended(self._spark):
                raise WorkerError(_SESSION_ENDED) from error
            listed = "".join(f"\n  attempt {number}: {found}" for number, found in enumerate(self._attempts, start=1))
            raise ResourceError(
                f"after epoch {state.epoch} executors are missing, and did not come within {_SLOTS_BACK_SECONDS:.0f} s; "
                f"--resume goes on when they are back, --min-workers allows fewer: {error}{listed}"
            ) from error
        if slots < workers:
            self._blocks, self._summary = self._deal_anew(slots)
            steps = self.task(state.epoch).schedule.steps
            self._tell(Resharded(epoch=state.epoch, workers=slots, workers_before=workers, steps_per_epoch=steps))

    def _prepare_restart(self, failed: SegmentFailed, state: TrainingState) -> None:
        """Raises the failure, or tells of it and pauses; what the cluster took is not counted, unless it is without end."""
        if has_ended(self._spark):
            raise WorkerError(_SESSION_ENDED) from failed
        if failed.is_clusters_doing and self._taken < _MOST_TAKEN and not failed.is_final:
            self._taken += 1
        else:
            self._attempts.append(failed.error)
            self._check_restart(failed, self._attempts)
        tried, counted = len(self._attempts) + self._taken, len(self._attempts)
        left = self._config.max_restarts - counted
        self._tell(Restarted(epoch=state.epoch, attempt=tried + 1, restarts_left=left, reason=str(failed.error)))
        time.sleep(min(2.0 ** (tried - 1), _LONGEST_PAUSE_SECONDS))

    def _check_restart(self, failed: SegmentFailed, attempts: Sequence[WorkerError]) -> None:
        """Raises the failure, unless running the segment again can help."""
        error = failed.error
        if failed.is_final or (is_unreachable(failed) and not self._seconds_an_epoch):
            raise error from failed
        again = [attempt for attempt in attempts if (attempt.rank, attempt.step) == (error.rank, error.step)]
        if failed.failure is not None and not failed.failure.is_victim and len(again) > 1:
            raise WorkerError(
                f"{error}\nIt failed twice at the same step, so it isn't tried again.\n{failed.failure.trace}",
                rank=error.rank,
                step=error.step,
            ) from failed
        if len(attempts) > self._config.max_restarts:
            listed = "".join(f"\n  attempt {number}: {attempt}" for number, attempt in enumerate(attempts, start=1))
            raise WorkerError(
                f"{error}\nTraining failed {len(attempts)} times, and --max-restarts allows {self._config.max_restarts}:{listed}",
                rank=error.rank,
                step=error.step,
            ) from failed

    def task(self, epoch: int) -> SegmentTask:
        """Of the segment that comes after ``epoch`` epochs."""
        return SegmentTask(
            network=self._options.network,
            allow_code=True,
            input_shape=self._summary.shape,
            labels=self._summary.labels,
            sizes=self._summary.sizes,
            normalization=Normalization(self._summary.mean, self._summary.deviation),
            strategy=self._options.strategy,
            config=self._config,
            first_epoch=epoch + 1,
            last_epoch=min(epoch + self._epochs_a_segment(epoch), self._config.epochs),
            target=self._summary.target,
            mean_weight=self._summary.mean_weight,
        )

    def _epochs_a_segment(self, epoch: int) -> int:
        """As many as make a segment of the length asked for, up to the next evaluation; the first one is to measure."""
        if not self._seconds_an_epoch:
            return 1
        epochs = max(1, round(self._config.segment_seconds / self._seconds_an_epoch))
        every = self._config.evaluate_every if self._test is not None else 0
        return min(epochs, every - epoch % every) if every else epochs

    def _evaluate_if_due(self, state: TrainingState) -> None:
        """Every so many epochs and at the end."""
        every = self._config.evaluate_every
        due = state.epoch == self._config.epochs or (state.epoch > 0 and every > 0 and state.epoch % every == 0)
        if self._test is None or not due:
            return
        began = time.monotonic()
        evaluation = self._evaluated(state)
        by_mae = isinstance(evaluation, RegressionEvaluation) and self._config.loss == "l1"
        loss = evaluation.mae if by_mae else evaluation.loss  # type: ignore[union-attr]
        if self._stopping.is_best(loss, state):
            self._evaluation = evaluation
        self._tell(
            Evaluated(
                epoch=state.epoch,
                accuracy=evaluation.accuracy if isinstance(evaluation, Evaluation) else math.nan,
                loss=loss,
                examples=evaluation.examples,
                seconds=time.monotonic() - began,
            )
        )

    def _evaluated(self, state: TrainingState) -> Evaluation | RegressionEvaluation:
        assert self._test is not None, "only asked for with test images"
        return self._model(state).evaluate(self._test, max_bad_fraction=self._config.max_bad_fraction)

    def _checkpoint_store(self) -> CheckpointStore | None:
        if self._options.checkpoint_dir is None:
            return None
        directory = self._options.checkpoint_dir
        return CheckpointStore(directory, fingerprint=self._fingerprint(), storage=storage_for(directory))

    def _fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be taken up: all that its final model depends on."""
        config = dataclasses.asdict(self._config)
        for name in _WITHOUT_EFFECT:
            del config[name]
        if self._config.patience is None:
            del config["evaluate_every"]
        if self._config.schedule == "constant":
            del config["epochs"]
        # Whoever allows fewer workers allows other shards.
        sizes = ("sizes",) if self._config.min_workers is None else ()
        names = ("counts", *sizes, "shape", "mean", "deviation", "target", "mean_weight")
        summary = {name: value for name, value in dataclasses.asdict(self._summary).items() if name in names}
        digests = {"examples": self._summary.digest}
        if self._config.patience is not None:  # then the test chooses the model
            digests["test_examples"] = self._test_digest
        strategy = {"name": self._options.strategy.name, **dataclasses.asdict(self._options.strategy)}  # type: ignore[call-overload]
        return {**config, **summary, **digests, "network": self._options.network, "strategy": strategy}

    def _save_checkpoint(self, state: TrainingState) -> None:
        if self._store:
            if self._lease:
                self._lease.check()
            history = {_HISTORY: json.dumps(self._history).encode()}
            self._store.save(state.epoch, {**state.to_blobs(), **self._stopping.to_blobs(), **history})

    def _keep_measured(self) -> None:
        """Puts what workers measured into the history, and thins that out where it would grow without end."""
        self._history += [to_record(event) for event in self._measured]
        while sum(record["event"] == "step" for record in self._history) > _MOST_MEASURED:
            number = itertools.count()
            self._history = [record for record in self._history if record["event"] != "step" or next(number) % 2 == 0]

    def _model(self, state: TrainingState, evaluation: AnyEvaluation | None = None) -> TrainedModel:
        """Of all that the workers have learnt, also what they have not told each other yet."""
        state = state.folded()
        normalization = {"mean": list(self._summary.mean), "deviation": list(self._summary.deviation)}
        names = self._options.class_names
        config = {
            "network": self._options.network,
            "input_shape": list(self._summary.shape),
            "preprocessing": normalization,
            "labels": list(self._summary.labels),
            "class_names": {label: names[label] for label in self._summary.labels} if names else {},
            "training": self._fingerprint(),
            "epoch": state.epoch,
            "index_labels": self._options.index_labels,
            "task": "regression" if self._summary.target else "classification",
            "target": dataclasses.asdict(self._summary.target) if self._summary.target else None,
        }
        artifact = ModelArtifact(
            config=json.loads(json.dumps(config)),
            weights=state.weights,
            optimizer=state.optimizer,
            history=tuple(self._history),
            evaluation=to_document(evaluation) if evaluation else None,
        )
        return TrainedModel(artifact, allow_code=True)

    def _run_started(self, state: TrainingState) -> RunStarted:
        task = self.task(state.epoch)
        return RunStarted(
            examples=self._summary.examples,
            classes=len(self._summary.labels),
            workers=len(self._summary.sizes),
            epochs=self._config.epochs,
            first_epoch=state.epoch + 1,
            steps_per_epoch=task.schedule.steps,
            parameters=sum(tensor.numel() for tensor in state.weights.values()),
            strategy=self._options.strategy.name,
            network=str(self._options.network["name"]),
            bad_entries=self._summary.bad,
            bad_reasons=self._summary.bad_reasons,
        )

    def _tell(self, event: Event) -> None:
        self._history.append(to_record(event))
        dispatch(self._options.callbacks, event)

    def _tell_live(self, event: Event) -> None:
        """From the channel's threads, where nobody would hear of a failing callback: it is raised after the segment."""
        if isinstance(event, StepMeasured):
            self._measured.append(event)
        try:
            dispatch(self._options.callbacks, event)
        except Exception as error:  # noqa: BLE001 - the user's code
            self._callback_error = self._callback_error or error
