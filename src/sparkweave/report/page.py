"""The page: sections made of a run's history, put into one HTML text that needs nothing but itself."""

from __future__ import annotations

import dataclasses
import functools
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sparkweave._version import __version__
from sparkweave.errors import ArtifactError
from sparkweave.events import StepMeasured
from sparkweave.report.answers import answers, step_split
from sparkweave.report.chart import MOST_COLUMNS, MOST_POINTS, Axis, Chart, Line, column_chart, line_chart
from sparkweave.report.evaluation import evaluation_section
from sparkweave.report.history import History, read_history
from sparkweave.report.profile import PARTS, SLOW_FACTOR, profiles, slowest
from sparkweave.report.quantities import BYTES, NOTHING, PERCENT, SECONDS, duration, percent, show
from sparkweave.report.scale import fitting, linear
from sparkweave.report.stretches import Point
from sparkweave.report.timeline import close_ups, timeline

MOST_LANES = 16
MOST_ROWS = 64
_LONGEST_VALUE = 400
_DEEPEST = 3
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a page is made of.

    Attributes:
        name: What the user calls the run: a path, a URL.
        history: Event records (`sparkweave.events.to_record`).
        options: What the run was asked to do, JSON-ready, by name.
        versions: Of what made it, by name.
        checkpoint: The epoch of the checkpoint that the history is from; None if it is a model's.
        evaluation: On the test images (`sparkweave.metrics.document.to_document`), if there is one.
        class_names: Class name by label.
    """

    name: str
    history: Sequence[Any]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    checkpoint: int | None = None
    evaluation: Mapping[str, Any] | None = None
    class_names: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def render_page(run: Run) -> str:
    """The page as HTML; the same run gives the same text.

    Raises:
        ArtifactError: if the history is not one, or the evaluation.

    Example:
        >>> "No epoch has ended yet" in render_page(Run(name="digits", history=[]))
        True
    """
    try:
        history = read_history(run.history)
        evaluation = evaluation_section(run.evaluation, run.class_names, most_rows=MOST_ROWS)
    except ArtifactError as error:
        raise ArtifactError(f"{run.name}: {error}") from error
    read = {"run": run, "history": history, "evaluation": evaluation}
    return _environment().get_template("page.html").render(read | _sections(run, history))


def _sections(run: Run, history: History) -> dict[str, Any]:
    """What the template shows, by the names that it has there."""
    workers = profiles(history.steps)
    rows = slowest(workers, at_most=MOST_ROWS)
    ranks = [worker.rank for worker in slowest(workers, at_most=MOST_LANES)]
    return {
        "facts": _facts(run, history),
        "answers": answers(history, workers),
        "learning": _learning(history),
        "speed": _speed(history),
        "traffic": _traffic(history),
        "timeline": timeline(history.steps, ranks, history.marks),
        "close_ups": close_ups([step for step in history.steps if step.rank in set(ranks)]),
        "workers": rows,
        "worker_count": len(workers),
        "longest": max((worker.split.total for worker in rows), default=0.0) or 1.0,
        "whole": step_split(workers),
        "epochs": _thinned(history.epochs),
        "tested": {evaluated.epoch: evaluated for evaluated in history.evaluations},
        "options": _options(run.options),
        "network": json.dumps(run.options["network"], indent=1)[:20_000] if run.options.get("network") else "",
    }


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sparkweave.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters |= {
        "bytes": lambda value: show(value, BYTES),
        "seconds": lambda value: show(value, SECONDS),
        "accuracy": lambda value: show(value, PERCENT),
        "percent": percent,
        "number": show,
        "duration": duration,
    }
    environment.globals |= {
        "version": __version__,
        "parts": PARTS,
        "slow_factor": SLOW_FACTOR,
        "most_points": MOST_POINTS,
        "most_columns": MOST_COLUMNS,
        "most_rows": MOST_ROWS,
        "most_lanes": MOST_LANES,
    }
    return environment


def _finalize(value: Any) -> Any:
    """What the template prints: strangers' text without the characters that nobody sees, and that steer what is seen."""
    if not isinstance(value, str) or hasattr(value, "__html__") or value.isprintable():
        return value
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _HIDDEN else "\N{REPLACEMENT CHARACTER}" for c in value
    )


def _facts(run: Run, history: History) -> dict[str, str]:
    """The run in a few words, for the head of the page."""
    started, epochs = history.started, history.epochs
    facts = {"State": _state(run, history)}
    if started:
        facts |= {
            "Network": f"{started.network}, {started.parameters:,} parameters",
            "Images": f"{started.examples:,} of {started.classes:,} classes",
            "Workers": f"{started.workers:,}, {started.strategy}",
            "Steps an epoch": f"{started.steps_per_epoch:,}",
        }
    if epochs:
        facts["Time in epochs"] = duration(sum(epoch.seconds for epoch in epochs))
    return facts


def _state(run: Run, history: History) -> str:
    done = history.epochs[-1].epoch if history.epochs else 0
    asked = max((one.epochs for one in (history.started, *history.epochs[-1:]) if one), default=0)
    if history.ended:
        return f"ended after {_epochs(history.ended.epochs)}"
    if run.checkpoint is None:
        return _epochs(done)
    return f"checkpoint after epoch {run.checkpoint:,}" + (f" of {asked:,}" if asked else "")


def _epochs(count: int) -> str:
    return f"{count:,} epoch{'' if count == 1 else 's'}"


def _axis(history: History) -> Axis:
    places = [epoch.epoch for epoch in history.epochs] + [one.epoch for one in history.evaluations]
    places += [step.epoch for step in history.steps]
    return Axis(epochs=float(max([1, *places])), marks=history.marks)


def _learning(history: History) -> list[Chart]:
    axis = _axis(history)

    def pair(name: str) -> list[Line]:
        training = [(float(epoch.epoch), getattr(epoch, name)) for epoch in history.epochs]
        tested = [(float(one.epoch), getattr(one, name)) for one in history.evaluations]
        return [
            Line(name="training", style="training", points=training),
            Line(name="evaluation", style="evaluation", points=tested),
        ]

    def shares(values: Sequence[float]) -> Any:
        return linear(values, ceiling=100.0)

    rates = [(float(epoch.epoch), epoch.learning_rate) for epoch in history.epochs]
    return _present(
        line_chart("Loss", pair("loss"), axis, what="loss", scale=fitting),
        line_chart("Accuracy", pair("accuracy"), axis, units=PERCENT, what="accuracy", scale=shares),
        line_chart("Learning rate", [Line(name="learning rate", style="plain", points=rates)], axis, what="rate"),
    )


def _speed(history: History) -> list[Chart]:
    axis = _axis(history)

    def points(name: str) -> list[Point]:
        return [(float(epoch.epoch), getattr(epoch, name)) for epoch in history.epochs]

    parts = [
        Line(name=name, style=style, points=points(f"{name}_seconds"))
        for name, style in (("data", "data"), ("compute", "compute"), ("communication", "wait"))
    ]
    rates = [Line(name="all workers", style="plain", points=points("images_per_second"))]
    return _present(
        line_chart("Speed", rates, axis, what="images a second"),
        column_chart("Time of an epoch (mean over workers)", parts, axis, units=SECONDS, what="time"),
    )


def _traffic(history: History) -> list[Chart]:
    axis = _axis(history)

    def points(value: Callable[[StepMeasured], float | None]) -> list[Point]:
        found = ((history.place(step.epoch, step.step), value(step)) for step in history.steps)
        return [(x, y) for x, y in found if y is not None]

    sent = Line(name="sent", style="training", points=points(lambda step: step.bytes_sent))
    received = Line(name="received", style="evaluation", points=points(lambda step: step.bytes_received))
    whole = Line(
        name="sent by all workers", style="plain", points=[(float(one.epoch), one.bytes_sent) for one in history.epochs]
    )
    alone = [
        ("Share of the parameters that is sent", "share", PERCENT, points(lambda step: step.sent_fraction)),
        ("Threshold", "threshold", None, points(lambda step: step.threshold)),
        ("Norm of the residual that stays behind", "Euclidean norm", None, points(lambda step: step.residual_norm)),
    ]
    return _present(
        line_chart("Bytes of a step and worker", [sent, received], axis, units=BYTES, what="bytes"),
        line_chart("Bytes of an epoch", [whole], axis, units=BYTES, what="bytes"),
        *(
            line_chart(title, [Line(name="all workers", style="plain", points=found)], axis, what=what, **_units(units))
            for title, what, units, found in alone
        ),
    )


def _units(units: Any) -> dict[str, Any]:
    return {} if units is None else {"units": units}


def _present(*charts: Chart | None) -> list[Chart]:
    return [chart for chart in charts if chart is not None]


def _thinned(found: Sequence[Any]) -> list[Any]:
    """At most `MOST_ROWS`, at even distances, the first and the last among them."""
    if len(found) <= MOST_ROWS:
        return list(found)
    return [found[round(number * (len(found) - 1) / (MOST_ROWS - 1))] for number in range(MOST_ROWS)]


def _options(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """By name, nested ones with their path; the network is shown by itself."""
    return [
        (str(name), text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…")
        for name, text in _flat({name: value for name, value in options.items() if name != "network"})
    ][: 2 * MOST_ROWS]


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in sorted(options.items()):
        if isinstance(value, Mapping) and value and prefix.count(".") < _DEEPEST and not _is_table(value):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{prefix}{name}", text if text not in ("", "null", "[]", "{}") else NOTHING


def _is_table(value: Mapping[str, Any]) -> bool:
    """Numbers by label, rather than options by name."""
    return len(value) > 4 and all(isinstance(item, int | float) for item in value.values())
