"""`sparkweave train`: from archives of labelled images to a saved, evaluated model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from sparkweave.cli.console import say, show_evaluation, show_json
from sparkweave.cli.inputs import check_inputs, check_local_target, check_remote_target
from sparkweave.cli.loggers import Loggers, logging_options
from sparkweave.cli.network_options import make_network, network_options
from sparkweave.cli.options import (
    AT_LEAST_ONE,
    AT_LEAST_ZERO,
    POSITIVE,
    common_options,
    option,
)
from sparkweave.cli.progress import Progress
from sparkweave.cli.session import spark_session
from sparkweave.cli.training_options import make_strategy, optimization_options, training_config, training_options
from sparkweave.config import STAGINGS, TIME_SOURCES
from sparkweave.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from sparkweave.metrics.evaluation import Evaluation
    from sparkweave.metrics.regression import RegressionEvaluation
    from sparkweave.spark.model import TrainedModel
    from sparkweave.spark.trainer import Trainer


@click.command()
@click.argument("train", nargs=-1, required=True)
@option("--test", multiple=True, metavar="PATH", help="Archives to evaluate the model on; may be repeated.")
@option(
    "--output",
    required=True,
    metavar="MODEL",
    help="Where the model goes: a folder, or a file ending in .zip; a path or a URL such as hdfs://.",
)
@option("--overwrite", is_flag=True, help="Replace a model and checkpoints that are already there.")
@training_options
@option("--epochs", type=AT_LEAST_ONE, default=10, help="Passes over the images.")
@optimization_options
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
@option("--ignore-memory-plan", is_flag=True, help="Train even if the memory plan refuses; only warn.")
@option(
    "--min-workers", type=AT_LEAST_ONE, help="Go on with as few if executors are lost; without it never with fewer."
)
@option("--max-restarts", type=AT_LEAST_ZERO, default=3, help="Failures that are survived.")
@option("--collective-timeout", type=POSITIVE, default=120.0, help="Seconds to wait for a silent worker.")
@option("--evaluate-every", type=AT_LEAST_ZERO, default=0, help="Epochs between evaluations; 0: at the end only.")
@network_options
@logging_options
@option("--log-every", type=AT_LEAST_ZERO, default=0, help="Steps between printed losses; 0 prints none.")
@option("--collect-training-stats", is_flag=True, help="Measure where the time of steps goes, for `sparkweave report`.")
@option("--time-source", type=click.Choice(TIME_SOURCES), default="system", help="Of the times in these measurements.")
@option("--ntp-server", default="pool.ntp.org", metavar="HOST", help="For --time-source ntp.")
@common_options
def train(**options: Any) -> None:
    """Train a network on the images in TRAIN: ZIP archives, folders of them, or globs, local or hdfs://.

    An image's label is its file name's part before the first underscore: 9_0993.png is a 9.
    """
    progress = Progress(log_every=options["log_every"])
    trainer, loggers = _trainer(options, progress)  # before Spark starts: everything that can be refused in a second
    with spark_session(options["master"], options["conf"], debug=options["debug"]) as spark, loggers.opened():
        check_remote_target(options["output"], overwrite=options["overwrite"])
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
        if loggers.mlflow is not None:
            say(f"Kept the model in MLflow: {loggers.mlflow.log_model(model)}")
        _report(model, model.evaluation, options)


def _trainer(options: dict[str, Any], progress: Progress) -> tuple[Trainer, Loggers]:
    from sparkweave import Trainer
    from sparkweave.data.labels import read_class_names

    check_use(options)
    config = training_config(options)
    check_inputs(options["train"], options["test"])
    check_local_target(options["output"], overwrite=options["overwrite"])
    strategy = make_strategy(options)
    loggers = Loggers.of(options, config, strategy)
    trainer = Trainer(
        network=options["network"],
        strategy=strategy,
        config=config,
        callbacks=[progress, *loggers],
        class_names=read_class_names(options["labels"]) if options["labels"] else None,
        checkpoint_dir=options["checkpoint_dir"] or beside(options["output"], "checkpoints"),
        resume=options["resume"],
        overwrite=options["overwrite"],
        interconnect=make_network(options),
    )
    return trainer, loggers


def check_use(options: dict[str, Any]) -> None:
    """Raises ConfigError if an option is given that does nothing without another."""
    if options["staging_dir"] and options["staging"] != "export":
        raise ConfigError(
            f"--staging-dir is {options['staging_dir']}, and --staging is {options['staging']}, which keeps no images; leave it"
            " out, or add --staging export"
        )
    if options["evaluate_every"] and not options["test"]:
        raise ConfigError(
            f"--evaluate-every is {options['evaluate_every']}, and there is nothing to evaluate on; leave it out, or name archives"
            " with --test"
        )


def beside(output: str, what: str) -> str:
    """A path beside the model's: ``digits.zip`` gives ``digits.checkpoints``."""
    return f"{output.rstrip('/').removesuffix('.zip')}.{what}"


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
    from sparkweave.artifacts.checkpoint import CheckpointStore
    from sparkweave.spark.storage import storage_for

    CheckpointStore(directory, fingerprint={}, storage=storage_for(directory)).remove()


def _report(model: TrainedModel, evaluation: Evaluation | RegressionEvaluation | None, options: dict[str, Any]) -> None:
    if options["as_json"]:
        figures = json.loads(evaluation.to_json()) if evaluation else None
        show_json(
            {"model": options["output"], "labels": list(model.labels), "evaluation": figures, "history": model.history}
        )
    elif evaluation:
        show_evaluation(evaluation)
