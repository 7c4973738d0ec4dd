from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.report.histories import BEGAN, made_up, step_measured
from tests.unit.report.test_chart import coordinates

from sparkweave.events import StepMeasured
from sparkweave.report.history import History, Mark
from sparkweave.report.profile import PARTS
from sparkweave.report.timeline import (
    HEIGHT,
    MOST_COLUMNS_A_LANE,
    WIDTH,
    Timeline,
    close_ups,
    columns_of,
    timeline,
)

ANY = st.floats(min_value=-1e100, max_value=1e100) | st.just(math.nan)
STEPS = st.lists(
    st.builds(
        step_measured,
        epoch=st.integers(1, 3),
        step=st.integers(1, 3),
        rank=st.integers(0, 3),
        time=st.floats(min_value=0, max_value=1e100),
        **{f"{part}_seconds": ANY for part in PARTS},
    ),
    max_size=20,
)


@given(STEPS)
def test_whatever_was_measured_all_coordinates_are_in_the_picture(steps: list[StepMeasured]) -> None:
    steps = History(tuple(steps)).steps
    drawn = timeline(steps, range(4), [Mark(epoch=1, kind="restart", text="again", time=math.nan)])
    assert (drawn is None) == (not steps)
    numbers = [0.0]
    for lane in drawn.lanes if drawn else ():
        numbers += [number for path in lane.paths.values() for number in coordinates(path)]
        numbers += [number for area in lane.areas for number in (area.x, area.width)] + list(lane.cut)
    for close in close_ups(steps):
        numbers += [number for bar in close.bars for _, area in bar.parts for number in (area.x, area.width)]
    assert all(math.isfinite(number) and 0 <= number <= WIDTH for number in numbers)


def made(steps: list[StepMeasured], marks: tuple[Mark, ...] = ()) -> Timeline:
    found = timeline(steps, sorted({step.rank for step in steps}), marks)
    assert found is not None
    return found


def every(seconds: float, count: int, **fields: float) -> list[StepMeasured]:
    return [step_measured(step=number + 1, time=BEGAN + number * seconds, **fields) for number in range(count)]


def test_each_sampled_step_is_a_column_up_to_the_next_one() -> None:
    found = made(every(10.0, 4))
    assert found.steps_a_column == 1
    (lane,) = found.lanes
    assert [area.x for area in lane.areas] == [0, 200, 400, 600], "the last one is as long as two"
    assert lane.areas[0].text.replace("\N{NO-BREAK SPACE}", " ") == (
        "epoch 1 step 1, at 0 µs: 30 ms: data 1 ms, compute 20 ms, encode 2 ms, wait 6 ms, apply 1 ms"
    )


def test_where_nothing_was_sampled_for_long_there_is_a_gap() -> None:
    columns = columns_of([*every(1.0, 5), step_measured(time=BEGAN + 100)], 1, BEGAN)
    assert [(column.begin, column.end) for column in columns[3:5]] == [(3.0, 4.0), (4.0, 6.0)]


def test_many_steps_are_means_in_columns_and_none_is_left_out() -> None:
    found = made(every(1.0, 1000))
    (lane,) = found.lanes
    assert len(lane.areas) <= MOST_COLUMNS_A_LANE
    assert found.steps_a_column == math.ceil(1000 / MOST_COLUMNS_A_LANE)
    assert sum(column.count for column in columns_of(every(1.0, 1000), found.steps_a_column, BEGAN)) == 1000


def test_parts_are_stacked_from_the_bottom() -> None:
    (lane,) = made(every(1.0, 1)).lanes
    tops = [coordinates(lane.paths[part])[1] for part in PARTS]
    assert tops == sorted(tops, reverse=True)
    assert coordinates(lane.paths["data"])[3] == HEIGHT


def test_one_column_far_taller_than_all_others_is_cut_and_marked() -> None:
    steps = [step_measured(time=BEGAN, compute_seconds=5.0), *every(1.0, 30)[1:]]
    found = made(steps)
    assert found.is_cut
    assert len(found.lanes[0].cut) == 1
    assert not made(every(1.0, 30)).is_cut


def test_marks_are_where_the_run_went_on() -> None:
    marks = (
        Mark(epoch=1, kind="restart", text="again", time=BEGAN + 5),
        Mark(epoch=1, kind="reshard", text="nobody knows when"),
    )
    (flag,) = made(every(1.0, 10), marks).flags
    assert (flag.kind, flag.text) == ("restart", "after epoch 1: again")
    assert 0 < flag.x < WIDTH


def test_only_the_workers_asked_for_have_lanes() -> None:
    steps = History(tuple(made_up(workers=3, epochs=1))).steps
    found = timeline(steps, [0, 2, 7])
    assert found is not None
    assert [lane.rank for lane in found.lanes] == [0, 2]
    assert timeline(steps, []) is None


def test_a_usual_step_and_the_slowest_are_shown_close_up() -> None:
    usual, slowest = close_ups(History(tuple(made_up(workers=3, epochs=2))).steps)
    assert slowest.title == "The slowest step: epoch 1, step 1"
    assert usual.title.startswith("A usual step: epoch ")
    assert [bar.rank for bar in usual.bars] == [0, 1, 2]
    for bar in usual.bars:
        (_, first), *_, (_, last) = bar.parts
        assert 0 <= first.x < last.x + last.width <= WIDTH


def test_of_a_step_that_was_run_twice_the_last_is_shown() -> None:
    steps = [
        step_measured(rank=rank, time=BEGAN + again, compute_seconds=again) for again in (1.0, 2.0) for rank in (0, 1)
    ]
    (close,) = close_ups(steps)
    assert all(dict(bar.parts)["compute"].text.endswith("2\N{NO-BREAK SPACE}s") for bar in close.bars)


def test_one_worker_has_nobody_to_be_compared_with() -> None:
    assert close_ups(every(1.0, 3)) == []
    assert close_ups([]) == []
