"""`sparkweave export`: a saved model for other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparkweave.cli.console import say, show_json
from sparkweave.cli.options import allow_code_option, option, session_options
from sparkweave.cli.session import spark_session
from sparkweave.filesystem import is_local

if TYPE_CHECKING:
    from sparkweave.artifacts.model import ModelArtifact

FORMATS = ("onnx",)


@click.command()
@click.argument("model")
@option("--format", "file_format", type=click.Choice(FORMATS), default="onnx", help="What to write.")
@option("--output", required=True, metavar="FILE.onnx", help="Where it goes, on this machine's disk.")
@option("--overwrite", is_flag=True, help="Replace a file that is already there.")
@allow_code_option
@session_options
def export(**options: Any) -> None:
    """Write MODEL, a saved model, local or hdfs://, as an ONNX graph.

    The graph takes uint8 images (batch, height, width, channels), or float32 vectors, of any number, and gives the probabilities of the
    classes, or numbers in their own unit; labels and versions are in its metadata. It is written once ONNX Runtime has given the
    network's own results for batches of 1, 2 and 8. Spark is started only to read a model that isn't on this machine's disk.
    """
    from sparkweave.export.onnx import ONNX_FILE, VERIFIED_BATCHES, check_onnx, to_onnx

    check_onnx()
    ONNX_FILE.check(options["output"], overwrite=options["overwrite"])
    content = to_onnx(_read(options), allow_code=options["allow_code"])
    path = ONNX_FILE.write(options["output"], content, overwrite=options["overwrite"])
    if options["as_json"]:
        document = {"model": options["model"], "format": options["file_format"], "output": path, "bytes": len(content)}
        show_json({**document, "verified_batches": list(VERIFIED_BATCHES)})
    else:
        verified = ", ".join(map(str, VERIFIED_BATCHES))
        say(f"Wrote the graph, verified for batches of {verified}: {path}")


def _read(options: dict[str, Any]) -> ModelArtifact:
    from sparkweave.artifacts.model import ModelArtifact

    if is_local(options["model"]):
        return ModelArtifact.load(options["model"])
    with spark_session(options["master"], options["conf"], debug=options["debug"]):
        from sparkweave.spark.storage import storage_for

        return ModelArtifact.load(options["model"], storage=storage_for(options["model"]))
