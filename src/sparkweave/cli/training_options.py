"""What is trained and how: options that `train` and `plan` have in common, and what they stand for."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import click

from sparkweave.cli.options import AT_LEAST_ONE, AT_LEAST_ZERO, Command, ImageSize, MemorySize, Setting, option, values
from sparkweave.config import PRECISIONS, TrainingConfig

STRATEGY_NAMES = ("parameter-averaging", "all-reduce")
_FIELDS = {field.name for field in dataclasses.fields(TrainingConfig)}


def training_options(command: Command) -> Command:
    """Adds them to a command."""
    added = [
        option("--network", default="lenet", help="lenet, resnet, a YAML file of layers, or MODULE:FACTORY."),
        option(
            "--strategy",
            type=click.Choice(STRATEGY_NAMES),
            default="parameter-averaging",
            help="How workers are kept the same.",
        ),
        option("--averaging-frequency", type=AT_LEAST_ONE, default=5, help="Steps between two averagings."),
        option(
            "--save-optimizer/--no-save-optimizer", default=True, help="Average and save the optimizer's state too."
        ),
        option("--batch-size", type=AT_LEAST_ONE, default=100, help="Images a step and worker."),
        option("--workers", type=AT_LEAST_ONE, help="Number of workers; without it as many as Spark can run at once."),
        option("--optimizer", default="adam", help="Name of a torch.optim class."),
        option(
            "--optimizer-option", type=Setting(), multiple=True, help="Argument of the optimizer, such as momentum=0.9."
        ),
        option("--precision", type=click.Choice(PRECISIONS), default="float32", help="Numbers to compute with."),
        option(
            "--augment",
            multiple=True,
            metavar="NAME",
            help="Augmentation, such as flip, crop:2, cutout:8; may be repeated.",
        ),
        option("--prefetch", type=AT_LEAST_ZERO, default=2, help="Minibatches prepared ahead of the step."),
        option("--image-size", type=ImageSize(), help="Resize all images to this height and width."),
        option("--channels", type=click.Choice(["1", "3"]), help="Make all images gray (1) or RGB (3)."),
        option(
            "--native-memory", type=MemorySize(), help="The most memory that a worker's process may take, such as 2g."
        ),
    ]
    decorated: Command = functools.reduce(lambda inner, add: add(inner), reversed(added), command)
    return decorated


def training_config(options: dict[str, Any]) -> TrainingConfig:
    """The trainer's configuration from a command's options."""
    fields = {name: value for name, value in options.items() if name in _FIELDS}
    if "collective_timeout" in options:
        fields["collective_timeout_seconds"] = options["collective_timeout"]
    optimizer_options = values(options["optimizer_option"])
    return TrainingConfig(**{**fields, "augment": tuple(options["augment"]), "optimizer_options": optimizer_options})


def make_strategy(options: dict[str, Any]) -> Any:
    """The strategy that a command's options ask for."""
    from sparkweave.strategies import AllReduce, ParameterAveraging

    if options["strategy"] == "all-reduce":
        return AllReduce()
    return ParameterAveraging(
        averaging_frequency=options["averaging_frequency"], save_optimizer=options["save_optimizer"]
    )
