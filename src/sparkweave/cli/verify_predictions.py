"""`sparkweave verify-predictions`: whether batches, streams and HTTP give the same probabilities."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from sparkweave.cli.console import say, show, show_json
from sparkweave.cli.inputs import check_inputs, load_local_model
from sparkweave.cli.options import AT_LEAST_ONE, allow_code_option, option, session_options
from sparkweave.cli.session import spark_session
from sparkweave.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.artifacts.storage import Storage
    from sparkweave.spark.model import TrainedModel
    from sparkweave.spark.streaming.assembly import StreamOrder

_MOST_BYTES = 1 << 30
_MEANING = (
    "a model's predictions depend on the way they are asked for; don't trust these machines. Look for another torch or another version of "
    "sparkweave on one of them (`sparkweave doctor`)"
)


@click.command("verify-predictions")
@click.argument("model")
@click.argument("input", nargs=-1, required=True)
@option("--images", "most", type=AT_LEAST_ONE, default=500, help="How many images to compare.")
@option("--url", metavar="URL", help="A running service of this model; without it, one is started on this machine.")
@option("--token-file", metavar="FILE", help="The token of that service; or set SPARKWEAVE_TOKEN.")
@option("--scratch", metavar="DIR", help="Folder for the stream, which all executors reach.  [a temporary one]")
@allow_code_option
@session_options
def verify_predictions(**options: Any) -> None:
    """Predict images in INPUT with MODEL in a batch, in a stream and over HTTP: are the probabilities the same?

    The files themselves are posted, and dropped into a folder as for `sparkweave stream`: decoding, resizing and limits are compared, too.
    They are the same to the bit where all CPUs are of one kind, and within rounding elsewhere; more ends in exit code 6.
    """
    from sparkweave import TrainedModel, read_image_archives
    from sparkweave.spark import agreement

    check_inputs(options["input"])
    local = load_local_model(options["model"], allow_code=options["allow_code"])
    with spark_session(options["master"], options["conf"], debug=options["debug"]) as spark:
        model = local or TrainedModel.load(options["model"], allow_code=options["allow_code"])
        channels, *size = model.image_shape
        if not model.labels:
            raise ConfigError(f"{options['model']} predicts a number; give a model that classifies")
        archives = list(options["input"])
        df = read_image_archives(spark, archives, image_size=(size[0], size[1]), channels=channels, labelled=False)
        say(f"Predicting {options['most']:,} images in a batch, or as many as there are")
        batch = agreement.by_batch(model, df, most=options["most"])
        with _scratch(spark, options["scratch"]) as (folder, storage):
            names = agreement.copied(spark, archives, batch, folder=f"{folder}/in", storage=storage)
            say(f"Predicting {len(names):,} of them in a stream")
            stream = agreement.by_stream(spark, _order(folder, options))
            say(f"Predicting them over HTTP, at {options['url'] or 'a service on this machine'}")
            http = _over_http(
                model, (storage.read(f"{folder}/in/{name}", limit=_MOST_BYTES) for name in names), options
            )
        ways = {"stream": stream, "http": dict(zip(names, http, strict=True))}
        found = [
            agreement.compared(way, batch, {names[name]: row for name, row in rows.items()})
            for way, rows in ways.items()
        ]
    if options["as_json"]:
        show_json({"comparisons": [each.to_dict() for each in found]})
    else:
        show("\n".join(map(str, found)))
    if any(each.verdict == "different" for each in found):
        raise ArtifactError(_MEANING)


def _order(folder: str, options: dict[str, Any]) -> StreamOrder:
    from sparkweave.spark.streaming.assembly import StreamOrder

    return StreamOrder(
        model=options["model"],
        input=f"{folder}/in",
        output=f"{folder}/out",
        checkpoint=f"{folder}/checkpoint",
        allow_code=options["allow_code"],
    )


def _over_http(model: TrainedModel, contents: Iterable[bytes], options: dict[str, Any]) -> Any:
    from sparkweave.cli.serve import require_packages

    require_packages()
    from sparkweave.serving.access import read_token
    from sparkweave.serving.client import probabilities_from
    from sparkweave.serving.local import served

    if options["url"]:
        return probabilities_from(options["url"], contents, token=read_token(options["token_file"]))
    with served(model.artifact, allow_code=options["allow_code"]) as url:
        return probabilities_from(url, contents)


@contextlib.contextmanager
def _scratch(spark: SparkSession, given: str | None) -> Iterator[tuple[str, Storage]]:
    """A folder that is gone afterwards, and where it is."""
    from sparkweave.spark.hadoop import Hadoop
    from sparkweave.spark.session import is_local
    from sparkweave.spark.storage import storage_for

    if given is None and is_local(spark.sparkContext.master or ""):
        given = tempfile.gettempdir()
    given = given or f"{Hadoop.of(spark.sparkContext).conf.get('fs.defaultFS').rstrip('/')}/tmp"  # noqa: S108 - the cluster's
    storage = storage_for(given)
    folder = storage.resolve(f"{given.rstrip('/')}/sparkweave-verify-{uuid.uuid4().hex[:8]}")
    try:
        yield folder, storage
    finally:
        storage.remove(folder)
