"""Workers by the clock: a lane each, in which every sampled step is a column; and single steps, close up.

Lanes are SVGs of `WIDTH` by `HEIGHT` units without text, so that the page may stretch them to whatever width it has.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

from sparkweave.events import StepMeasured
from sparkweave.report.chart import Area, Flag, box
from sparkweave.report.history import Mark
from sparkweave.report.profile import PARTS, Split, mean_split, split_of
from sparkweave.report.quantities import SECONDS, show, unit_for
from sparkweave.report.scale import Scale, Tick, linear

WIDTH, HEIGHT = 1000.0, 64.0

MOST_COLUMNS_A_LANE = 120
_MOST_COLUMNS = 2400
_FEWEST_COLUMNS = 24
_CUT_FROM = 2.0
_LEAST_WIDTH = 0.5
_MOST_MARKS = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """The mean of ``count`` sampled steps in a row, from ``begin`` to ``end`` (seconds since the first step)."""

    begin: float
    end: float
    split: Split
    count: int
    epoch: int
    step: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lane:
    """One worker: an SVG path for each part, and what each column says when it is pointed at. ``cut`` are columns that are too tall."""

    rank: int
    host: str
    paths: Mapping[str, str]
    areas: tuple[Area, ...]
    cut: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timeline:
    """All lanes on one time axis and one scale of heights, ``top`` of which is the lanes' height."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    unit: str
    top: str
    flags: tuple[Flag, ...]
    steps_a_column: int
    is_cut: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bar:
    """One worker in one step: where each part is, from 0 to `WIDTH`, and what it says when it is pointed at."""

    rank: int
    host: str
    parts: tuple[tuple[str, Area], ...]
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class CloseUp:
    """One step of all workers that measured it."""

    title: str
    summary: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    unit: str


def timeline(steps: Sequence[StepMeasured], ranks: Sequence[int], marks: Sequence[Mark] = ()) -> Timeline | None:
    """The lanes of ``ranks``, or None where they have no steps.

    Args:
        steps: By time.
        ranks: Whom to show.
        marks: What happened; those with a time are shown.
    """
    by_rank = {rank: [step for step in steps if step.rank == rank] for rank in ranks}
    by_rank = {rank: found for rank, found in by_rank.items() if found}
    if not by_rank:
        return None
    start = min(found[0].time for found in by_rank.values())
    longest = max(map(len, by_rank.values()))
    most = min(MOST_COLUMNS_A_LANE, max(_FEWEST_COLUMNS, _MOST_COLUMNS // len(by_rank)))
    size = math.ceil(longest / most)
    columns = {rank: columns_of(found, size, start) for rank, found in by_rank.items()}
    everything = [column for found in columns.values() for column in found]
    x, unit = _time_axis(max(column.end for column in everything))
    top = _top([column.split.total for column in everything])
    return Timeline(
        lanes=tuple(_lane(by_rank[rank][-1], found, x, unit, top) for rank, found in columns.items()),
        ticks=_percent(x),
        unit=unit[0],
        top=show(top, SECONDS),
        flags=_flags(marks, start, x, unit),
        steps_a_column=size,
        is_cut=any(column.split.total > top for column in everything),
    )


def columns_of(steps: Sequence[StepMeasured], size: int, start: float) -> list[Column]:
    """A lane's columns, of ``size`` sampled steps each.

    A column ends where the next one begins; but where no step was sampled for long, a gap is left.
    """
    groups = [steps[first : first + size] for first in range(0, len(steps), size)]
    begins = [group[0].time - start for group in groups]
    usual = statistics.median([after - before for before, after in itertools.pairwise(begins)] or [0.0])
    ends = [*begins[1:], math.inf]
    found = []
    for group, begin, end in zip(groups, begins, ends, strict=True):
        split = mean_split([split_of(step) for step in group])
        least = group[-1].time - start + split_of(group[-1]).total
        longest = max(begin + 2 * usual, least)
        first = group[0]
        found.append(
            Column(
                begin=begin, end=min(end, longest), split=split, count=len(group), epoch=first.epoch, step=first.step
            )
        )
    return found


def close_ups(steps: Sequence[StepMeasured]) -> list[CloseUp]:
    """A usual step and the slowest one, of those that most workers measured; none where no step has two workers."""
    whole = _whole_steps(steps)
    if not whole:
        return []
    by_length = sorted(whole, key=lambda step: max(split_of(record).total for record in step))
    usual, longest = by_length[(len(by_length) - 1) // 2], by_length[-1]
    chosen = [("A usual step", usual)] + ([("The slowest step", longest)] if longest is not usual else [])
    return [_close_up(title, step) for title, step in chosen]


def _whole_steps(steps: Sequence[StepMeasured]) -> list[list[StepMeasured]]:
    """Those that as many workers as possible measured at once, each by rank."""
    by_step: dict[tuple[int, int], dict[int, StepMeasured]] = {}
    for step in steps:  # of a step that was run twice the last
        by_step.setdefault((step.epoch, step.step), {})[step.rank] = step
    most = max((len(workers) for workers in by_step.values()), default=0)
    if most < 2:
        return []
    return [[workers[rank] for rank in sorted(workers)] for workers in by_step.values() if len(workers) == most]


def _close_up(title: str, step: Sequence[StepMeasured]) -> CloseUp:
    begin = min(record.time for record in step)
    x, unit = _time_axis(max(record.time - begin + split_of(record).total for record in step))
    first = step[0]
    return CloseUp(
        title=f"{title}: epoch {first.epoch:,}, step {first.step:,}",
        summary="; ".join(f"worker {record.rank}: {describe(split_of(record))}" for record in step[:8]),
        bars=tuple(_bar(record, begin, x, unit[1]) for record in step),
        ticks=_percent(x),
        unit=unit[0],
    )


def describe(split: Split) -> str:
    """A step in words: ``31 ms: data 1 ms, compute 30 ms``; parts that took no time are left out."""
    parts = ", ".join(
        f"{part} {show(seconds, SECONDS)}" for part, seconds in zip(PARTS, split.seconds, strict=True) if seconds > 0
    )
    return f"{show(split.total, SECONDS)}: {parts}" if parts else show(split.total, SECONDS)


def _bar(step: StepMeasured, begin: float, x: Scale, size: float) -> Bar:
    split, now = split_of(step), step.time - begin
    parts = []
    for part, seconds in zip(PARTS, split.seconds, strict=True):
        left, right = _x(x, now / size), _x(x, (now + seconds) / size)
        text = f"{part}: {show(seconds, SECONDS)}"
        parts.append((part, Area(x=round(left, 1), width=round(right - left, 1), text=text)))
        now += seconds
    return Bar(rank=step.rank, host=step.host, parts=tuple(parts), text=describe(split))


def _lane(step: StepMeasured, columns: Sequence[Column], x: Scale, unit: tuple[str, float], top: float) -> Lane:
    edges = [_edges(_x(x, column.begin / unit[1]), _x(x, column.end / unit[1])) for column in columns]
    return Lane(
        rank=step.rank,
        host=step.host,
        paths={part: _part_path(columns, edges, index, top) for index, part in enumerate(PARTS)},
        areas=tuple(
            Area(x=round(left, 1), width=round(right - left, 1), text=_text(column))
            for column, (left, right) in zip(columns, edges, strict=True)
        ),
        cut=tuple(
            round((left + right) / 2, 1)
            for column, (left, right) in zip(columns, edges, strict=True)
            if column.split.total > top
        ),
    )


def _edges(left: float, right: float) -> tuple[float, float]:
    """A column that is so short that nobody would see it is drawn longer."""
    left = min(left, WIDTH - _LEAST_WIDTH)
    return left, max(right, left + _LEAST_WIDTH)


def _part_path(columns: Sequence[Column], edges: Sequence[tuple[float, float]], index: int, top: float) -> str:
    def height(seconds: float) -> float:
        return HEIGHT * (1 - min(1.0, seconds / top))

    pieces = []
    for column, (left, right) in zip(columns, edges, strict=True):
        seconds = column.split.seconds
        inner = right - min(0.6, (right - left) / 5)  # neighbours are told apart
        pieces.append(box(left, height(sum(seconds[: index + 1])), inner, height(sum(seconds[:index]))))
    return "".join(pieces)


def _text(column: Column) -> str:
    place = f"epoch {column.epoch:,} step {column.step:,}"
    many = f"mean of {column.count} from {place}" if column.count > 1 else place
    return f"{many}, at {show(column.begin, SECONDS)}: {describe(column.split)}"


def _top(totals: Sequence[float]) -> float:
    """What the lanes' height stands for: the tallest column, unless few are far taller than all others."""
    ordered = sorted(totals)
    tallest, usual = ordered[-1], ordered[int(0.95 * (len(ordered) - 1))]
    end = usual * 1.25 if tallest > _CUT_FROM * usual > 0 else tallest
    return linear([end], zero=True).high


def _time_axis(seconds: float) -> tuple[Scale, tuple[str, float]]:
    """From 0 on, in a unit of (name, seconds)."""
    unit = unit_for(seconds, SECONDS)
    end = seconds / unit.size
    return linear([end], zero=True, ceiling=end, ticks=4), (unit.name, unit.size)


def _percent(x: Scale) -> tuple[Tick, ...]:
    return tuple(Tick(place=round(100 * tick.place, 2), text=tick.text) for tick in x.labelled())


def _flags(marks: Sequence[Mark], start: float, x: Scale, unit: tuple[str, float]) -> tuple[Flag, ...]:
    return tuple(
        Flag(
            x=round(_x(x, (mark.time - start) / unit[1]), 1),
            kind=mark.kind,
            text=f"after epoch {mark.epoch}: {mark.text}",
        )
        for mark in marks
        if mark.time is not None and math.isfinite(mark.time)
    )[:_MOST_MARKS]


def _x(x: Scale, value: float) -> float:
    return WIDTH * x.place(value)
