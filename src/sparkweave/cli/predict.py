"""`sparkweave predict`: a saved model's predictions for images, written by Spark."""

from __future__ import annotations

from typing import Any

import click

from sparkweave.cli.console import say, show_json
from sparkweave.cli.inputs import check_inputs, load_local_model
from sparkweave.cli.options import allow_code_option, common_options, option
from sparkweave.cli.session import spark_session

FORMATS = ("parquet", "csv")


@click.command()
@click.argument("model")
@click.argument("input", nargs=-1, required=True)
@option("--output", required=True, metavar="OUT", help="Folder that Spark writes the predictions to.")
@option(
    "--format", "file_format", type=click.Choice(FORMATS), help="Without it, csv if OUT ends in .csv, else parquet."
)
@option("--overwrite", is_flag=True, help="Replace predictions that are already there.")
@allow_code_option
@common_options
def predict(**options: Any) -> None:
    """Predict the classes of the images in INPUT with MODEL.

    OUT gets one row an image: its path, the predicted label and the probability of each label. Images that can't be used (with
    --max-bad-fraction) have the reason in the column error instead. Images of other sizes than the model was trained on are
    resized.
    """
    from sparkweave import TrainedModel, read_image_archives
    from sparkweave.spark.predictions import check_output, write_predictions

    check_inputs(options["input"])
    output = options["output"]
    file_format = options["file_format"] or ("csv" if output.lower().rstrip("/").endswith(".csv") else "parquet")
    local = load_local_model(options["model"], allow_code=options["allow_code"])
    with spark_session(options["master"], options["conf"], debug=options["debug"]) as spark:
        model = local or TrainedModel.load(options["model"], allow_code=options["allow_code"])
        check_output(spark, output, overwrite=options["overwrite"])
        images = read_image_archives(
            spark,
            list(options["input"]),
            image_size=model.image_shape[1:],
            channels=model.image_shape[0],
            labelled=False,
        )
        written = write_predictions(
            model.transform(images),
            output,
            file_format=file_format,
            labels=model.labels,
            overwrite=options["overwrite"],
            max_bad_fraction=options["max_bad_fraction"],
        )
    if options["as_json"]:
        show_json({"output": output, "format": file_format, "images": written.images, "bad_images": written.bad_images})
    else:
        say(f"Predicted {written.images - written.bad_images:,} images: {output}")
        if written.bad_images:
            say(f"{written.bad_images:,} images can't be used; see the column 'error'")
