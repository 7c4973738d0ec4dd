"""`sparkweave stream`: a saved model's predictions for images as they come, from a folder or Kafka, to Parquet or Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sparkweave.cli.console import say, show_json
from sparkweave.cli.interrupts import finishing_on_interrupt
from sparkweave.cli.options import AT_LEAST_ONE, Number, Setting, allow_code_option, option, session_options
from sparkweave.cli.session import spark_session
from sparkweave.deploy.submission import SECRET_WORDS
from sparkweave.errors import ConfigError

if TYPE_CHECKING:
    from sparkweave.spark.streaming.query import BatchEnded

SOURCES = ("files", "kafka")
_OFFSETS = ("earliest", "latest")


@click.command()
@click.argument("model")
@option("--source", required=True, type=click.Choice(SOURCES), help="Where images come from.")
@option("--input", required=True, metavar="IN", help="A folder; or kafka://HOST:PORT/TOPIC.")
@option("--output", required=True, metavar="OUT", help="A folder for Parquet; or kafka://HOST:PORT/TOPIC.")
@option("--checkpoint", required=True, metavar="DIR", help="Folder that says what was read; it belongs to one OUT.")
@option("--available-now", is_flag=True, help="Predict what is there, and end.")
@option(
    "--trigger", type=Number(at_least=0), default=1.0, metavar="SECONDS", help="From one batch's beginning to the next."
)
@option("--max-per-batch", type=AT_LEAST_ONE, default=1000, help="Most files or messages of one batch.")
@option(
    "--starting-offsets", type=click.Choice(_OFFSETS), default="latest", help="Where a new checkpoint begins in Kafka."
)
@option("--fail-on-data-loss/--no-fail-on-data-loss", default=True, help="End where Kafka dropped unread messages.")
@option(
    "--kafka-option",
    type=Setting(),
    multiple=True,
    help="A setting of librdkafka (security.protocol=...); may be repeated.",
)
@allow_code_option
@session_options
def stream(**options: Any) -> None:
    """Predict images with MODEL as they come.

    MODEL is a model, or a folder of versions (000001.zip, 000002.zip ...); a new one is taken before the next batch. With files, IN is a folder
    into which PNG and JPEG images and ZIP archives of them are moved when they are whole. A message is an encoded image, or a
    JSON array of numbers for a model of vectors. What can't be used has the reason in the column error. After a crash, the same command
    goes on; each image is in OUT once. Ctrl-C ends after the running batch.
    """
    from sparkweave.spark.streaming.assembly import StreamOrder, check_order, open_stream

    order = StreamOrder(
        model=options["model"],
        input=options["input"],
        output=options["output"],
        checkpoint=options["checkpoint"],
        max_per_batch=options["max_per_batch"],
        starting_offsets=options["starting_offsets"],
        fail_on_data_loss=options["fail_on_data_loss"],
        kafka=tuple(options["kafka_option"]),
        allow_code=options["allow_code"],
    )
    _check_source(options["source"], options["input"])
    _refuse_secrets(options["kafka_option"])
    check_order(order)
    total = _Total()
    with spark_session(options["master"], options["conf"], debug=options["debug"]) as spark:
        running = open_stream(spark, order, on_batch=total.add)
        with finishing_on_interrupt(running.stop):
            say(f"Predicting what comes from {options['input']}; Ctrl-C ends after the running batch")
            running.run(spark, available_now=options["available_now"], seconds=options["trigger"])
    if options["as_json"]:
        show_json({"output": options["output"], **vars(total)})
    else:
        say(f"Predicted {total.images - total.bad_images:,} images: {options['output']} (batches: {total.batches:,})")


def _check_source(source: str, url: str) -> None:
    if (source == "kafka") != url.startswith("kafka://"):
        form = "kafka://HOST:PORT/TOPIC" if source == "kafka" else "a folder"
        raise ConfigError(f"--source is {source}, and --input is {url}; give {form}")


def _refuse_secrets(settings: tuple[tuple[str, str], ...]) -> None:
    """On a command line they would be in every list of processes."""
    given = click.get_current_context().get_parameter_source("kafka_option")
    secrets = [name for name, _ in settings if any(word in name.lower() for word in SECRET_WORDS)]
    if secrets and given is ParameterSource.COMMANDLINE:
        raise ConfigError(
            f"--kafka-option {secrets[0]} would show a secret in the list of processes; put it under kafka-option in a file, and name "
            "that with --config"
        )


class _Total:
    def __init__(self) -> None:
        self.batches, self.images, self.bad_images = 0, 0, 0

    def add(self, batch: BatchEnded) -> None:
        self.batches += 1
        self.images += batch.images
        self.bad_images += batch.bad_images
        bad = f", {batch.bad_images:,} of them can't be used" if batch.bad_images else ""
        say(f"Batch {batch.batch_id}: {batch.images:,} images{bad} (model {batch.model})")
