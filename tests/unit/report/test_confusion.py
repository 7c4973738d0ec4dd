from __future__ import annotations

import numpy as np

from sparkweave.metrics.evaluation import Evaluation
from sparkweave.report.confusion import MOST_CLASSES, MOST_CONFUSIONS, heat_map, worst_confusions


def evaluation_of(confusion: list[list[int]], names: dict[str, str] | None = None) -> Evaluation:
    evaluation = Evaluation([str(number) for number in range(len(confusion))], class_names=names)
    evaluation.confusion = np.array(confusion)
    return evaluation


def test_a_cell_is_shaded_by_the_root_of_its_share_of_the_row() -> None:
    drawn = heat_map(evaluation_of([[75, 25, 0], [0, 4, 0], [0, 0, 0]], {"1": "dog"}))
    assert drawn is not None
    first, second, third = drawn.rows
    assert [cell.shade for cell in first] == [0.866, 0.5, 0]
    assert [cell.is_right for cell in second] == [False, True, False]
    assert [cell.shade for cell in third] == [0, 0, 0]
    assert first[1].text == "25 of 100 of 0: taken for dog"
    assert second[1].text == "4 of 4 of dog: taken for what they are"


def test_long_names_are_cut_where_they_stand_and_whole_where_one_points() -> None:
    drawn = heat_map(evaluation_of([[1, 0], [0, 1]], {"0": "x" * 40}))
    assert drawn is not None
    assert (drawn.names[0].short, drawn.names[0].full) == ("x" * 15 + "…", "x" * 40)


def test_too_many_classes_are_not_drawn() -> None:
    assert heat_map(Evaluation([str(number) for number in range(MOST_CLASSES)])) is not None
    assert heat_map(Evaluation([str(number) for number in range(MOST_CLASSES + 1)])) is None


def test_the_worst_confusions_come_first_and_right_ones_never() -> None:
    found = worst_confusions(evaluation_of([[90, 8, 2], [0, 50, 0], [1, 9, 0]]))
    assert [(one.actual.full, one.predicted.full, one.count, one.share) for one in found] == [
        ("2", "1", 9, 0.9),
        ("0", "1", 8, 0.08),
        ("0", "2", 2, 0.02),
        ("2", "0", 1, 0.1),
    ]


def test_only_so_many_are_listed() -> None:
    assert len(worst_confusions(evaluation_of([[1] * 30] * 30))) == MOST_CONFUSIONS
    assert worst_confusions(evaluation_of([[3, 0], [0, 3]])) == []
