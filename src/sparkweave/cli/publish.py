"""`sparkweave publish`: a trained model as the next version in a registry."""

from __future__ import annotations

from typing import Any

import click

from sparkweave.cli.console import say, show_json
from sparkweave.cli.options import allow_code_option, option


@click.command()
@click.argument("model")
@click.argument("registry")
@allow_code_option
@option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, everything else on stderr.")
@option("--debug", is_flag=True, help="Show the traceback of an error.")
def publish(**options: Any) -> None:
    """Add MODEL to REGISTRY, a folder of versions, under the next number; both local or hdfs://.

    The model is tried out before, and what was written is read back. Services that follow the registry take the version up within
    seconds. To go back to an old version, publish it anew: sparkweave publish REGISTRY/000001.zip REGISTRY.
    """
    from sparkweave.artifacts.model import ModelArtifact
    from sparkweave.serving.model import ServedModel
    from sparkweave.serving.opening import storage_at
    from sparkweave.serving.registry import Registry

    artifact = ModelArtifact.load(options["model"], storage=storage_at(options["model"]))
    tried = ServedModel.of(artifact, name="tried", version="0", allow_code=options["allow_code"])
    tried.warm_up(2)
    version = Registry(options["registry"], storage=storage_at(options["registry"])).publish(artifact)
    if options["as_json"]:
        show_json(
            {"registry": options["registry"], "version": version.name, "file": version.file, "digest": tried.digest}
        )
    else:
        say(f"Published version {version.name}: {options['registry'].rstrip('/')}/{version.file}")
