from __future__ import annotations

import math

from tests.unit.export.runs import epoch, evaluated, started

from sparkweave.export.figures import figures, parameters


def test_figures_of_an_epoch() -> None:
    assert figures(epoch(2)) == {
        "train/loss": 0.5,
        "train/accuracy": 0.75,
        "train/learning_rate": 0.001,
        "train/images_per_second": 1000.0,
        "train/seconds": 1.0,
        "train/bytes_sent": 1000.0,
    }


def test_what_is_no_finite_number_is_left_out() -> None:
    assert figures(evaluated(2)) == {"test/loss": 0.4}
    assert figures(evaluated(2, accuracy=0.8)) == {"test/loss": 0.4, "test/accuracy": 0.8}
    assert {"train/loss", "train/accuracy"}.isdisjoint(figures(epoch(1, loss=math.inf, accuracy=math.nan)))


def test_parameters_are_what_was_asked_for_and_what_the_run_is() -> None:
    found = parameters(started(), {"batch_size": 50, "workers": None})
    assert found["batch_size"] == "50"
    assert found["workers"] == "3", "as many as there really are"
    assert (found["network"], found["strategy"], found["parameters"]) == ("lenet", "all-reduce", "1234")
