"""`sparkweave verify`: whether workers on this cluster learn what one process learns, on a few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparkweave.cli.console import say, show, show_json
from sparkweave.cli.inputs import check_inputs
from sparkweave.cli.network_options import make_network, network_options
from sparkweave.cli.options import AT_LEAST_ONE, POSITIVE, common_options, option
from sparkweave.cli.session import spark_session
from sparkweave.cli.training_options import make_strategy, optimization_options, training_config, training_options
from sparkweave.errors import TrainingError

if TYPE_CHECKING:
    from sparkweave.spark.trainer import Trainer

_MEANING = (
    "the workers' weights are not those of one process, and it is not rounding; don't trust a training here. Look for machines with another "
    "torch or other CPUs (`sparkweave doctor`), verify with other --workers to find the machine, and test its memory"
)


@click.command()
@click.argument("train", nargs=-1, required=True)
@option("--steps", type=AT_LEAST_ONE, default=20, help="Steps to train; fewer where there are fewer images.")
@training_options
@optimization_options
@network_options
@option("--collective-timeout", type=POSITIVE, default=120.0, help="Seconds to wait for a silent worker.")
@option("--ignore-memory-plan", is_flag=True, help="Train even if the memory plan refuses; only warn.")
@common_options
def verify(**options: Any) -> None:
    """Train a few steps on images in TRAIN with all workers, and the same in one process: do the weights agree?

    They do to the bit where all CPUs are of one kind, and within rounding elsewhere; more ends in exit code 5. Nothing is saved.

    This machine does all workers' work too: where that is too much, give fewer --workers. All of TRAIN is read, twice: of many archives
    one will do.
    """
    from sparkweave import read_image_archives
    from sparkweave.spark import verification

    trainer = _trainer(options)
    verification.refuse_unverifiable(trainer)
    with spark_session(options["master"], options["conf"], debug=options["debug"]) as spark:
        channels = int(options["channels"]) if options["channels"] else None
        images = read_image_archives(spark, list(options["train"]), image_size=options["image_size"], channels=channels)
        found = verification.verify(trainer, images, steps=options["steps"], told=say)
    if options["as_json"]:
        show_json(found.to_dict())
    else:
        show(str(found))
    if found.verdict == "different":
        raise TrainingError(_MEANING)


def _trainer(options: dict[str, Any]) -> Trainer:
    from sparkweave import Trainer

    config = training_config(options)
    check_inputs(options["train"])
    return Trainer(
        network=options["network"],
        strategy=make_strategy(options),
        config=config,
        interconnect=make_network(options),
    )
