"""The library's entry to training: checks what is asked for, deals the images out, and runs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame

from sparkweave.artifacts.checkpoint import CheckpointStore
from sparkweave.artifacts.lease import Lease, held
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.config import TrainingConfig
from sparkweave.data.augment import parse_augmentations
from sparkweave.data.labels import indexed
from sparkweave.data.summary import check_test, check_trainable
from sparkweave.distributed.network import DIRECT, Network
from sparkweave.errors import ArtifactError, ConfigError, LabelError
from sparkweave.filesystem import is_local
from sparkweave.networks import describe_network
from sparkweave.spark.dataset import Dealt, sharded, storage_level, summarized, unpersist
from sparkweave.spark.memory import check_memory
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.run import Run, RunOptions
from sparkweave.spark.slots import refuse_plaintext, refuse_settings, require_slots
from sparkweave.spark.storage import storage_for
from sparkweave.strategies import ParameterAveraging, Strategy
from sparkweave.training.callbacks import Callback
from sparkweave.training.optimizers import optimizer_class


class Trainer:
    """Trains one network with several workers.

    Example:
        >>> trainer = Trainer("lenet", config=TrainingConfig(epochs=2))  # doctest: +SKIP
        >>> model = trainer.fit(read_image_archives(spark, "train.zip"))  # doctest: +SKIP
    """

    def __init__(
        self,
        network: str | Mapping[str, Any] = "lenet",
        *,
        strategy: Strategy | None = None,
        config: TrainingConfig | None = None,
        callbacks: Sequence[Callback] = (),
        class_names: Mapping[str, str] | None = None,
        checkpoint_dir: str | None = None,
        resume: bool = False,
        overwrite: bool = False,
        interconnect: Network | None = None,
        index_labels: bool = False,
    ) -> None:
        """Stores and checks what is asked for; `fit` does the work.

        Args:
            network: A built-in network, a YAML file of layers, ``module:factory``, or a description of these.
            strategy: How the workers' networks are kept the same; `ParameterAveraging` by default.
            config: All other options.
            callbacks: Told of what happens, on the driver.
            class_names: Class name by label, for the evaluation and the saved model.
            checkpoint_dir: Where the state is kept after each segment, a path or URL; nowhere by default.
            resume: Go on from the newest checkpoint there, if there is one.
            overwrite: Start anew where the checkpoints of an earlier run are; they go once the images have been read.
            interconnect: How workers reach each other and the driver; by default `Network` with nothing asked for.
            index_labels: Labels are indexes of classes: there is one for each number from 0 to the largest label, also where
                there is no example of it.

        Raises:
            ConfigError: if an option breaks its rule.
            ArtifactError: if the checkpoints of an earlier run are there, and neither ``resume`` nor ``overwrite`` is asked for;
                in `fit` if they are not on the local disk.
        """
        if resume and checkpoint_dir is None:
            raise ConfigError("resume needs a checkpoint_dir: where is the run to be taken up from?")
        self._has_to_check = checkpoint_dir is not None and not resume and not overwrite
        if checkpoint_dir is not None and is_local(checkpoint_dir):
            self._check_folder(checkpoint_dir, LOCAL)
        self.options = RunOptions(
            network=describe_network(network),
            strategy=strategy or ParameterAveraging(),
            config=config or TrainingConfig(),
            callbacks=tuple(callbacks),
            class_names=class_names,
            checkpoint_dir=checkpoint_dir,
            resume=resume,
            interconnect=interconnect or DIRECT,
            index_labels=index_labels,
        )
        optimizer_class(self.options.config.optimizer)
        parse_augmentations(self.options.config.augment)
        storage_level(self.options.config.storage_level)

    def fit(self, df: DataFrame, test: DataFrame | None = None) -> TrainedModel:
        """Trains on all examples of ``df``.

        Args:
            df: As `read_image_archives` returns it; or with ``features``, arrays of floats, instead of ``image``; with a ``label`` of
                type double, a number to predict; with a ``weight`` of each example.
            test: Examples to measure the model on, every ``evaluate_every`` epochs and at the end.

        Raises:
            DataError: if the images can't be trained on.
            ResourceError: if the session can't run the workers, or has too little memory for them, or if it protects its
                connections and the workers would not (see `Network`).
            WorkerError: if a worker failed, and running the segment again didn't help.
            ArtifactError: if another driver is at work on this run, or a checkpoint can't be written.
        """
        spark, config = df.sparkSession, self.options.config
        refuse_settings(spark)
        workers = require_slots(spark, config.workers, least=config.min_workers)
        refuse_plaintext(spark, workers, self.options.interconnect)
        kept = _kept(test, config.storage_level)
        with self._leased() as lease, kept as kept_test, contextlib.ExitStack() as dealt:

            def deal(workers: int) -> Dealt:
                dealt.close()
                blocks, summary = dealt.enter_context(self._sharded(df, workers))
                if self.options.index_labels and summary.labels:
                    summary = dataclasses.replace(summary, labels=indexed(summary.labels))
                check_trainable(summary, workers)
                check_class_names(summary.labels, self.options.class_names)
                check_memory(spark, self.options, summary)
                return blocks, summary

            first = deal(workers)
            test_digest = ""
            if kept_test is not None:
                measured = summarized(kept_test, max_bad_fraction=config.max_bad_fraction)
                check_test(measured, first[1])
                test_digest = measured.digest
            return Run(self.options, first, kept_test, deal_anew=deal, lease=lease, test_digest=test_digest).train()

    def _sharded(self, df: DataFrame, workers: int) -> contextlib.AbstractContextManager[Dealt]:
        config = self.options.config
        return sharded(
            df,
            shards=workers,
            seed=config.seed,
            level=config.storage_level,
            max_bad_fraction=config.max_bad_fraction,
        )

    @contextlib.contextmanager
    def _leased(self) -> Iterator[Lease | None]:
        """Keeps other drivers off the run's folder while the context lasts."""
        directory = self.options.checkpoint_dir
        if directory is None:
            yield None
            return
        storage = storage_for(directory)
        with held(storage.resolve(directory), storage) as lease:
            self._check_folder(directory, storage)
            yield lease

    def _check_folder(self, directory: str, storage: Storage) -> None:
        """Raises ArtifactError if a run that is to start anew would lose the checkpoints of an earlier one; once."""
        epochs = CheckpointStore(directory, fingerprint={}, storage=storage).epochs() if self._has_to_check else []
        if epochs:
            raise ArtifactError(
                f"{directory} has the checkpoint of a run that ended after epoch {epochs[-1]}; go on from it (--resume), "
                "start anew and lose it (--overwrite), or choose another folder: each run needs one of its own"
            )
        self._has_to_check = False


def check_class_names(labels: Iterable[str], names: Mapping[str, str] | None) -> None:
    """Raises LabelError if a label has no name among ``names``."""
    missing = [label for label in labels if names is not None and label not in names]
    if missing:
        listed = ", ".join(repr(label) for label in missing[:20])
        raise LabelError(f"{len(missing)} labels have no class name: {listed}; add them to the file of --labels")


@contextlib.contextmanager
def _kept(df: DataFrame | None, level: str) -> Iterator[DataFrame | None]:
    """``df`` persisted while the context lasts."""
    if df is None:
        yield None
        return
    kept = df.persist(storage_level(level))
    try:
        yield kept
    finally:
        unpersist(kept)
