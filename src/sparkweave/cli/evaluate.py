"""`sparkweave evaluate`: how well a saved model does on labelled images."""

from __future__ import annotations

import json
from typing import Any

import click

from sparkweave.cli.console import show_evaluation, show_json
from sparkweave.cli.inputs import check_inputs, load_local_model
from sparkweave.cli.options import allow_code_option, common_options
from sparkweave.cli.session import spark_session


@click.command()
@click.argument("model")
@click.argument("test", nargs=-1, required=True)
@allow_code_option
@common_options
def evaluate(**options: Any) -> None:
    """Evaluate MODEL on the labelled images in TEST: ZIP archives, folders of them, or globs.

    Images of other sizes than the model was trained on are resized.
    """
    from sparkweave import TrainedModel, read_image_archives

    check_inputs(options["test"])
    local = load_local_model(options["model"], allow_code=options["allow_code"])
    with spark_session(options["master"], options["conf"], debug=options["debug"]) as spark:
        model = local or TrainedModel.load(options["model"], allow_code=options["allow_code"])
        images = read_image_archives(
            spark, list(options["test"]), image_size=model.image_shape[1:], channels=model.image_shape[0]
        )
        evaluation = model.evaluate(images, max_bad_fraction=options["max_bad_fraction"])
    if options["as_json"]:
        show_json({"model": options["model"], "evaluation": json.loads(evaluation.to_json())})
    else:
        show_evaluation(evaluation)
