"""What is trained and how: options that `train`, `plan` and `verify` have in common, and what they stand for."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import click

from sparkweave.cli.options import (
    AT_LEAST_ONE,
    AT_LEAST_ZERO,
    FRACTION,
    POSITIVE,
    Command,
    ImageSize,
    MemorySize,
    Number,
    Setting,
    option,
    values,
)
from sparkweave.config import PRECISIONS, SCHEDULES, TrainingConfig
from sparkweave.errors import ConfigError

STRATEGY_NAMES = ("parameter-averaging", "gradient-sharing", "all-reduce")
# Defaults are the strategies' own; so an option that isn't given reads None, and one of another strategy is refused.
_STRATEGY_OPTIONS = [
    option("--averaging-frequency", type=AT_LEAST_ONE, help="parameter-averaging: steps between two averagings [5]."),
    option(
        "--outer-optimizer",
        type=click.Choice(["none", "nesterov"]),
        help="parameter-averaging: what steps from one average to the next (DiLoCo) [none].",
    ),
    option("--outer-learning-rate", type=POSITIVE, help="parameter-averaging: of the outer optimizer [0.7]."),
    option("--outer-momentum", type=FRACTION, help="parameter-averaging: of the outer optimizer [0.9]."),
    option(
        "--averaging-precision",
        type=click.Choice(["float32", "bfloat16"]),
        help="parameter-averaging: numbers that are sent [float32].",
    ),
    option("--threshold", type=POSITIVE, help="gradient-sharing: least update that is sent, at first [0.001]."),
    option(
        "--threshold-algorithm",
        type=click.Choice(["fixed", "adaptive", "target-sparsity"]),
        help="gradient-sharing: how the threshold goes on [target-sparsity].",
    ),
    option("--target-sparsity", type=POSITIVE, help="gradient-sharing: sent share of the parameters [0.03]."),
    option("--exchange-frequency", type=AT_LEAST_ONE, help="gradient-sharing: steps between two exchanges [10]."),
    option(
        "--apply-residual/--no-apply-residual",
        default=None,
        help="gradient-sharing: train on one's own residual too [yes].",
    ),
    option(
        "--residual-clipping",
        type=Number(at_least=0),
        help="gradient-sharing: most thresholds in a residual, 0 for any [5].",
    ),
    option(
        "--staleness", type=click.IntRange(0, 1), help="gradient-sharing: 1 exchanges while the next step computes [0]."
    ),
    option(
        "--compression",
        type=click.Choice(["none", "fp16", "bf16", "powersgd"]),
        help="all-reduce: how gradients are sent [none].",
    ),
    option("--powersgd-rank", type=AT_LEAST_ONE, help="all-reduce: of PowerSGD's approximations [2]."),
]
_FIELDS = {field.name for field in dataclasses.fields(TrainingConfig)}


def training_options(command: Command) -> Command:
    """Adds them to a command."""
    added = [
        option("--network", default="lenet", help="lenet, mlp, resnet, a YAML file of layers, or MODULE:FACTORY."),
        option(
            "--strategy",
            type=click.Choice(STRATEGY_NAMES),
            default="parameter-averaging",
            help="How workers are kept the same.",
        ),
        *_STRATEGY_OPTIONS,
        option(
            "--save-optimizer/--no-save-optimizer",
            default=True,
            help="Save the optimizer's state too; parameter-averaging then averages it.",
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


def optimization_options(command: Command) -> Command:
    """Adds what else decides where steps lead; `plan` has no use for it."""
    added = [
        option("--learning-rate", type=POSITIVE, default=1e-3, help="The (peak) learning rate."),
        option("--schedule", type=click.Choice(SCHEDULES), default="constant", help="How the learning rate changes."),
        option("--label-smoothing", type=FRACTION, default=0.0, help="Of the cross-entropy loss."),
        option("--seed", type=AT_LEAST_ZERO, default=0, help="Of everything random."),
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
    """The strategy that a command's options ask for.

    Raises:
        ConfigError: if an option is another strategy's, or breaks its rule.
    """
    from sparkweave.strategies import STRATEGIES

    fields = {name: _field_names(strategy) for name, strategy in STRATEGIES.items()}
    given = {name: options[name] for name in set().union(*fields.values()) if options[name] is not None}
    chosen = options["strategy"]
    for name in sorted(given.keys() - fields[chosen] - {"save_optimizer"}):
        (owner,) = [strategy for strategy, names in fields.items() if name in names]
        raise ConfigError(
            f"--{name.replace('_', '-')} is an option of the strategy {owner}, and --strategy is {chosen}; "
            f"leave it out, or train with --strategy {owner}"
        )
    strategy: Any = STRATEGIES[chosen]
    return strategy(**{name: value for name, value in given.items() if name in fields[chosen]})


def _field_names(strategy: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(strategy)}
