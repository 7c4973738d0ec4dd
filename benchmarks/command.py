"""Options that the benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.journal import Journal
from benchmarks.machine import describe_machine


def parser(name: str, description: str, *, rounds: int) -> argparse.ArgumentParser:
    """With ``--data``, ``--images``, ``--rounds``, ``--log`` and ``--resume``."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    made.add_argument("--data", type=Path, required=True, help="folder with train.zip and test.zip")
    made.add_argument("--images", type=int, help="use so many of the training images, to try it out")
    made.add_argument("--rounds", type=int, default=rounds, help=f"measurements of each side ({rounds})")
    made.add_argument("--log", type=Path, default=Path("build", "benchmarks", f"{name}.jsonl"), help="JSON lines")
    made.add_argument("--resume", action="store_true", help="take what the log has already")
    return made


def journal(options: argparse.Namespace) -> Journal:
    """The log that ``options`` name."""
    return Journal(options.log, resume=options.resume)


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """All options that the figures depend on."""
    without = {"data", "log", "resume", "rounds", "only"}
    return {name: value for name, value in vars(options).items() if name not in without}


def heading(title: str, options: argparse.Namespace) -> str:
    """The title, the machine and the settings, above a table."""
    used = ", ".join(
        f"{name.replace('_', '-')} {value}" for name, value in settings(options).items() if value is not None
    )
    return f"## {title}\n\n{describe_machine()}\n\nSettings: {used or 'defaults'}\n"
