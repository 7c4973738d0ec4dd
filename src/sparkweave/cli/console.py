"""What a person or a program reads: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkweave.metrics.evaluation import Evaluation
    from sparkweave.metrics.regression import RegressionEvaluation

_muted = False
_mirror: Callable[[str, str], None] | None = None
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def clean(text: str) -> str:
    r"""``text`` without characters that steer a terminal; labels and file names come from strangers.

    >>> clean("9\x1b[2J_cat")
    '9�[2J_cat'
    """
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _HIDDEN else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def say(text: str) -> None:
    """Prints a line for people, on stderr."""
    if not _muted:
        _write("err", clean(text))


@contextlib.contextmanager
def mute() -> Iterator[None]:
    """Keeps `say` silent: what the parts of an interrupted run report while they end helps nobody."""
    global _muted
    _muted = True
    try:
        yield
    finally:
        _muted = False


def show(text: str) -> None:
    """Prints a result on stdout."""
    _write("out", clean(text))


def say_left_out(count: int, reasons: Sequence[str]) -> None:
    """Says how many images were left out, and why the first of them were."""
    if count:
        more = [f"  … and {count - len(reasons):,} more"] if count > len(reasons) else []
        say("\n".join([f"Left out {count:,} images that can't be used:", *(f"  {r}" for r in reasons), *more]))


def show_evaluation(evaluation: Evaluation | RegressionEvaluation) -> None:
    """Prints an evaluation's figures on stdout, and on stderr what was not counted."""
    say_left_out(evaluation.left_out, evaluation.left_out_reasons)
    show(evaluation.stats())
    for name in ("class_table", "summary"):
        if hasattr(evaluation, name):
            show(getattr(evaluation, name)())


def show_json(document: dict[str, Any]) -> None:
    """Prints the one JSON document of a command run with ``--json``."""
    _write("out", json.dumps(document, indent=2, allow_nan=False))


@contextlib.contextmanager
def mirrored(mirror: Callable[[str, str], None]) -> Iterator[None]:
    """Hands what is printed inside to ``mirror`` too: ``out`` or ``err``, and the text."""
    global _mirror
    _mirror = mirror
    try:
        yield
    finally:
        _mirror = None


def _write(stream: str, text: str) -> None:
    file = sys.stdout if stream == "out" else sys.stderr
    file.write(text + "\n")
    file.flush()
    if _mirror is not None:
        _mirror(stream, text)
