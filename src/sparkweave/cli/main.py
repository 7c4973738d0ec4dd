"""The `sparkweave` command: runs a subcommand, and turns what went wrong into a message and an exit code.

====  ==============================================================
code  meaning
====  ==============================================================
0     done
1     an error of no other kind (``--debug`` shows where)
2     an option, a network file, a configuration file
3     the images
4     Java, Spark, its slots, memory, disk
5     training stopped
6     a model, a checkpoint or an output path
130   interrupted
====  ==============================================================
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from sparkweave._version import __version__
from sparkweave.cli.console import clean, say
from sparkweave.cli.doctor import doctor
from sparkweave.cli.evaluate import evaluate
from sparkweave.cli.export import export
from sparkweave.cli.failures import explain
from sparkweave.cli.interrupts import run_interruptibly
from sparkweave.cli.pack import pack
from sparkweave.cli.plan import plan
from sparkweave.cli.predict import predict
from sparkweave.cli.publish import publish
from sparkweave.cli.report import report
from sparkweave.cli.serve import serve
from sparkweave.cli.stream import stream
from sparkweave.cli.submit import submit
from sparkweave.cli.train import train
from sparkweave.cli.transcript import transcript_kept
from sparkweave.cli.verify import verify
from sparkweave.cli.verify_predictions import verify_predictions

EXIT_INTERRUPTED = 130
_EPILOG = (
    "Exit codes: 0 done, 1 another error, 2 options, 3 images, 4 Java, Spark or its resources, 5 training,"
    " 6 a model or an output path, 130 interrupted."
)


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Train PyTorch networks on Spark, from ZIP archives of labelled images."""


for _command in (
    train,
    evaluate,
    predict,
    stream,
    export,
    report,
    publish,
    serve,
    plan,
    verify,
    verify_predictions,
    doctor,
    pack,
    submit,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command and exits; installed as the ``sparkweave`` program.

    Args:
        arguments: Without the program's name; None takes those of the process.
    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    with transcript_kept() as close:
        code = _run(arguments)
        close(code)
    return code


def _run(arguments: Sequence[str]) -> int:
    debug = "--debug" in arguments
    codes: list[int | None] = []
    try:
        run_interruptibly(
            lambda: codes.append(cli.main(list(arguments), prog_name="sparkweave", standalone_mode=False))
        )
    except (KeyboardInterrupt, click.Abort):
        say("Interrupted.")
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        _show_usage_error(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort of a command
        if debug:
            say(traceback.format_exc())
        message, code = explain(error)
        say(f"Error: {message}")
        return code
    return codes[0] or 0  # what a command's exit carries; nothing where it just ended


def _show_usage_error(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    if context is not None:
        say(f"Try '{context.command_path} --help' for its options.")
    say(f"Error: {clean(error.format_message())}")
