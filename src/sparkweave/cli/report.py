"""`sparkweave report`: a run as one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparkweave.cli.console import say, show_json
from sparkweave.cli.options import option, session_options
from sparkweave.cli.session import spark_session
from sparkweave.filesystem import is_local

if TYPE_CHECKING:
    from sparkweave.artifacts.run_record import RunRecord


@click.command()
@click.argument("run")
@option("--output", metavar="PAGE.html", default="report.html", help="Where the page goes, on this machine's disk.")
@option("--overwrite", is_flag=True, help="Replace a file that is already there.")
@session_options
def report(**options: Any) -> None:
    """Write a page about RUN: a saved model, or a run's folder of checkpoints, local or hdfs://.

    It shows what the run learned, where its time went, which worker is slow, and how many bytes were exchanged, and needs nothing
    but a browser. Spark is started only to read what isn't on this machine's disk. What single steps did is in it if the run was
    trained with --collect-training-stats.
    """
    from sparkweave.report.output import check_page, write_page
    from sparkweave.report.page import Run, render_page

    check_page(options["output"], overwrite=options["overwrite"])
    record = _read(options)
    page = render_page(
        Run(
            name=options["run"],
            history=record.history,
            options=record.options,
            versions=record.versions,
            checkpoint=record.epoch,
            evaluation=record.evaluation,
            class_names=record.class_names,
        )
    )
    path = write_page(options["output"], page, overwrite=options["overwrite"])
    if options["as_json"]:
        show_json({"run": options["run"], "output": path, "bytes": len(page.encode())})
    else:
        say(f"Wrote the report: {path}")


def _read(options: dict[str, Any]) -> RunRecord:
    from sparkweave.artifacts.run_record import read_run_record

    if is_local(options["run"]):
        return read_run_record(options["run"])
    with spark_session(options["master"], options["conf"], debug=options["debug"]):
        from sparkweave.spark.storage import storage_for

        return read_run_record(options["run"], storage=storage_for(options["run"]))
