"""`sparkweave pack`: one archive with Python, PyTorch and the user's own code, for nodes that have none of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparkweave.cli.console import say, show, show_json
from sparkweave.cli.interrupts import on_interrupt
from sparkweave.cli.options import option
from sparkweave.cli.options_file import config_option

if TYPE_CHECKING:
    from sparkweave.deploy.pack import Packed

_MEGA = 1_000_000


@click.command()
@option("--output", required=True, metavar="ENV.tar.gz", help="The archive.")
@option(
    "--module",
    "modules",
    multiple=True,
    metavar="PATH",
    help="A .py file or a package's folder of your own; may be repeated.",
)
@option(
    "--requirement",
    "requirements",
    multiple=True,
    metavar="NAME",
    help="A further distribution that is installed here; may be repeated.",
)
@option(
    "--exclude",
    "excluded",
    multiple=True,
    metavar="NAME",
    help="Leave this distribution out, though it is required; may be repeated.",
)
@option("--cpu", is_flag=True, help="For nodes without GPUs: leave out what only GPUs use.")
@option("--with-spark", is_flag=True, help="Pack pyspark too; on YARN Spark brings it.")
@option("--overwrite", is_flag=True, help="Replace an archive that is already there.")
@config_option
@option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, everything else on stderr.")
@option("--debug", is_flag=True, help="Show the traceback of an error.")
def pack(**options: Any) -> None:
    """Pack this Python, PyTorch, sparkweave and your own modules into one archive.

    Nodes need nothing but Linux with the same kind of processor and the named glibc or a newer one. Unpacked anywhere, bin/python works:
    spark-submit --archives ENV.tar.gz#environment --conf spark.pyspark.python=./environment/bin/python. The same input gives
    the same bytes. The archive is tried out before it is written.
    """
    from sparkweave.deploy.pack import Order
    from sparkweave.deploy.pack import pack as pack_environment

    order = Order(
        output=Path(options["output"]),
        modules=tuple(map(Path, options["modules"])),
        requirements=options["requirements"],
        excluded=options["excluded"],
        cpu=options["cpu"],
        with_spark=options["with_spark"],
        overwrite=options["overwrite"],
    )
    with on_interrupt(lambda: None):  # at once: what is half made is removed on exit
        packed = pack_environment(order, report=say)
    if options["as_json"]:
        show_json(_document(packed))
    else:
        show(_table(packed))
        say(f"Packed {packed.archive_bytes / _MEGA:,.0f} MB: {packed.output}")


def _document(packed: Packed) -> dict[str, Any]:
    return {
        "output": str(packed.output),
        "archive_bytes": packed.archive_bytes,
        "unpacked_bytes": sum(packed.sizes.values()),
        "files": packed.files,
        "sizes": packed.sizes,
        **packed.metadata,
    }


def _table(packed: Packed) -> str:
    versions = {"python": packed.metadata["python"], **packed.metadata["packages"]}
    rows = [(f"{name} {versions.get(name, '')}".rstrip(), size) for name, size in packed.sizes.items()]
    rows.append((f"{packed.files:,} files, unpacked", sum(packed.sizes.values())))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {size / _MEGA:>9,.1f} MB" for name, size in rows]
    needs = f"Nodes need {packed.metadata['platform']} and glibc {packed.metadata['glibc']} or newer."
    return "\n".join([*lines, needs])
