"""`sparkweave doctor`: looks at a cluster before anything is trained on it."""

from __future__ import annotations

from typing import Any

import click

from sparkweave.cli.console import say, show, show_json
from sparkweave.cli.network_options import make_network, network_options
from sparkweave.cli.options import AT_LEAST_ONE, option, session_options
from sparkweave.cli.session import spark_session
from sparkweave.errors import ResourceError


@click.command()
@option("--workers", type=AT_LEAST_ONE, help="How many workers are to train; without it all slots.")
@option("--output", metavar="URL", help="Where a model is to go: can it be written there?")
@option("--input", multiple=True, metavar="ARCHIVES", help="Archives that every executor should read; may be repeated.")
@network_options
@session_options
def doctor(**options: Any) -> None:
    """Look at every executor, in one short job, for what would keep a training from working.

    Compared with the driver: Python and packages, memory, disks, clocks, and whether each worker reaches each other over the interface
    that it would use. Each finding comes with its remedy. The exit code is 0 if there is no error among them, warnings or not, and else 4.
    """
    from sparkweave.deploy.doctor.diagnosis import as_document, show_cluster, show_findings
    from sparkweave.spark.doctor import examine_cluster

    network = make_network(options)
    with spark_session(options["master"], options["conf"], debug=options["debug"]) as spark:
        found = examine_cluster(
            spark,
            workers=options["workers"],
            output=options["output"],
            inputs=list(options["input"]),
            network=network,
        )
    if options["as_json"]:
        show_json(as_document(found.cluster, found.findings))
    else:
        show(show_cluster(found.cluster))
        if found.findings:
            show("\n" + show_findings(found.findings))
    errors = [finding for finding in found.findings if finding.severity == "error"]
    if errors:
        raise ResourceError(
            f"{len(errors)} of {len(found.findings)} findings would make a training fail; each has its remedy"
        )
    say("Nothing was found that would make training fail.")
