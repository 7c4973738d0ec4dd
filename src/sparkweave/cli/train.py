"""`sparkweave train`: from archives of labelled images to a saved, evaluated model."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

import click

from sparkweave.cli.console import say, show_evaluation, show_json
from sparkweave.cli.inputs import check_inputs
from sparkweave.cli.options import (
    AT_LEAST_ONE,
    AT_LEAST_ZERO,
    FRACTION,
    POSITIVE,
    ImageSize,
    Setting,
    common_options,
    option,
    values,
)
from sparkweave.cli.progress import Progress
from sparkweave.cli.session import spark_session
from sparkweave.config import PRECISIONS, SCHEDULES, STAGINGS, TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from sparkweave.metrics.evaluation import Evaluation
    from sparkweave.spark.model import TrainedModel
    from sparkweave.spark.trainer import Trainer

STRATEGY_NAMES = ("parameter-averaging", "all-reduce")
_FIELDS = {field.name for field in dataclasses.fields(TrainingConfig)}


@click.command()
@click.argument("train", nargs=-1, required=True)
@option("--test", multiple=True, metavar="PATH", help="Archives to evaluate the model on; may be repeated.")
@option("--output", required=True, metavar="MODEL", help="Where the model goes: a folder, or a file ending in .zip.")
@option("--overwrite", is_flag=True, help="Replace a model and checkpoints that are already there.")
@option("--network", default="lenet", help="lenet, resnet, a YAML file of layers, or MODULE:FACTORY.")
@option(
    "--strategy",
    type=click.Choice(STRATEGY_NAMES),
    default="parameter-averaging",
    help="How workers are kept the same.",
)
@option("--averaging-frequency", type=AT_LEAST_ONE, default=5, help="Steps between two averagings.")
@option("--save-optimizer/--no-save-optimizer", default=True, help="Average and save the optimizer's state too.")
@option("--epochs", type=AT_LEAST_ONE, default=10, help="Passes over the images.")
@option("--batch-size", type=AT_LEAST_ONE, default=100, help="Images a step and worker.")
@option("--workers", type=AT_LEAST_ONE, help="Number of workers; without it as many as Spark can run at once.")
@option("--optimizer", default="adam", help="Name of a torch.optim class.")
@option("--optimizer-option", type=Setting(), multiple=True, help="Argument of the optimizer, such as momentum=0.9.")
@option("--learning-rate", type=POSITIVE, default=1e-3, help="The (peak) learning rate.")
@option("--schedule", type=click.Choice(SCHEDULES), default="constant", help="How the learning rate changes.")
@option("--label-smoothing", type=FRACTION, default=0.0, help="Of the cross-entropy loss.")
@option("--precision", type=click.Choice(PRECISIONS), default="float32", help="Numbers to compute with.")
@option(
    "--augment", multiple=True, metavar="NAME", help="Augmentation, such as flip, crop:2, cutout:8; may be repeated."
)
@option("--seed", type=AT_LEAST_ZERO, default=0, help="Of everything random.")
@option("--prefetch", type=AT_LEAST_ZERO, default=2, help="Minibatches prepared ahead of the step.")
@option("--image-size", type=ImageSize(), help="Resize all images to this height and width.")
@option("--channels", type=click.Choice(["1", "3"]), help="Make all images gray (1) or RGB (3).")
@option("--labels", type=click.Path(), help="YAML or JSON file that maps labels to names of classes.")
@option("--storage-level", default="MEMORY_AND_DISK", help="Where Spark keeps the decoded images.")
@option(
    "--staging",
    type=click.Choice(STAGINGS),
    default="direct",
    help="export: decode once to Parquet, reuse in later runs.",
)
@option("--staging-dir", metavar="PATH", help="Where exported images go; without it beside the model.")
@option(
    "--checkpoint-dir",
    metavar="PATH",
    help="Where checkpoints go and stay; without it beside the model, until that is saved.",
)
@option("--resume", is_flag=True, help="Go on from the last checkpoint.")
@option("--max-restarts", type=AT_LEAST_ZERO, default=3, help="Failures that are survived.")
@option("--collective-timeout", type=POSITIVE, default=120.0, help="Seconds to wait for a silent worker.")
@option("--evaluate-every", type=AT_LEAST_ZERO, default=0, help="Epochs between evaluations; 0: at the end only.")
@option("--log-every", type=AT_LEAST_ZERO, default=0, help="Steps between printed losses; 0 prints none.")
@common_options
def train(**options: Any) -> None:
    """Train a network on the images in TRAIN: ZIP archives, folders of them, or globs, local or hdfs://.

    An image's label is its file name's part before the first underscore: 9_0993.png is a 9.
    """
    progress = Progress(log_every=options["log_every"])
    trainer = _trainer(options, progress)  # before Spark starts: everything that can be refused in a second
    with spark_session(options["master"], options["conf"], debug=options["debug"]) as spark:
        try:
            images = _frame(spark, options["train"], options)
            test = _frame(spark, options["test"], options) if options["test"] else None
            model = trainer.fit(images, test=test)
        finally:
            progress.close()
        model.save(options["output"], save_optimizer=options["save_optimizer"], overwrite=options["overwrite"])
        say(f"Saved the model: {options['output']}")
        if not options["checkpoint_dir"]:
            _remove_checkpoints(beside(options["output"], "checkpoints"))
        _report(model, model.evaluation, options)


def _trainer(options: dict[str, Any], progress: Progress) -> Trainer:
    from sparkweave import Trainer
    from sparkweave.artifacts.sealed import check_target
    from sparkweave.data.labels import read_class_names

    config = training_config(options)
    check_inputs(options["train"], options["test"])
    check_target(options["output"], overwrite=options["overwrite"])
    return Trainer(
        network=options["network"],
        strategy=_strategy(options),
        config=config,
        callbacks=[progress],
        class_names=read_class_names(options["labels"]) if options["labels"] else None,
        checkpoint_dir=options["checkpoint_dir"] or beside(options["output"], "checkpoints"),
        resume=options["resume"],
        overwrite=options["overwrite"],
    )


def training_config(options: dict[str, Any]) -> TrainingConfig:
    """The trainer's configuration from the command's options."""
    fields = {name: value for name, value in options.items() if name in _FIELDS}
    return TrainingConfig(
        **{
            **fields,
            "augment": tuple(options["augment"]),
            "optimizer_options": values(options["optimizer_option"]),
            "collective_timeout_seconds": options["collective_timeout"],
        }
    )


def beside(output: str, what: str) -> str:
    """A path beside the model's: ``digits.zip`` gives ``digits.checkpoints``."""
    return f"{output.rstrip('/').removesuffix('.zip')}.{what}"


def _strategy(options: dict[str, Any]) -> Any:
    from sparkweave.strategies import AllReduce, ParameterAveraging

    if options["strategy"] == "all-reduce":
        return AllReduce()
    return ParameterAveraging(
        averaging_frequency=options["averaging_frequency"], save_optimizer=options["save_optimizer"]
    )


def _frame(spark: SparkSession, paths: Sequence[str], options: dict[str, Any]) -> DataFrame:
    from sparkweave import read_image_archives

    channels = int(options["channels"]) if options["channels"] else None
    decoding = {"image_size": options["image_size"], "channels": channels}

    def read() -> DataFrame:
        return read_image_archives(spark, list(paths), **decoding)

    if options["staging"] == "direct":
        return read()
    from sparkweave.spark.staging import staged

    directory = options["staging_dir"] or beside(options["output"], "staged")
    return staged(spark, read, paths=list(paths), options=decoding, directory=directory)


def _remove_checkpoints(directory: str) -> None:
    """Removes the folder too, if nothing else is in it."""
    from sparkweave.artifacts.checkpoint import CheckpointStore

    store = CheckpointStore(directory, fingerprint={})
    store.clear()
    with contextlib.suppress(OSError):  # never made, or other things are in it
        os.rmdir(store.directory)


def _report(model: TrainedModel, evaluation: Evaluation | None, options: dict[str, Any]) -> None:
    if options["as_json"]:
        figures = json.loads(evaluation.to_json()) if evaluation else None
        show_json(
            {"model": options["output"], "labels": list(model.labels), "evaluation": figures, "history": model.history}
        )
    elif evaluation:
        show_evaluation(evaluation)
