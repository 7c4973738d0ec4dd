"""What a verification says."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from sparkweave.training.comparison import Comparison
from sparkweave.training.verification import Verification

SAME = Comparison(tensors=8, numbers=431080, identical=True, parameter="", largest=0.0, change=0.02, distance=0.0)
APART = Comparison(
    tensors=8, numbers=431080, identical=False, parameter="0.weight", largest=0.0045, change=0.019, distance=0.243
)
NEAR = dataclasses.replace(APART, distance=2.8e-5)
FAR = dataclasses.replace(APART, distance=0.48)


def verification(comparison: Comparison = SAME, plain_step: Comparison | None = None, **fields: Any) -> Verification:
    given = {
        "network": "lenet",
        "strategy": "all-reduce",
        "images": 4000,
        "workers": 2,
        "steps": 20,
        "batch_size": 100,
        "dropout": 0,
        "loss": 1.17649,
        "loss_in_one_process": 1.1765,
        "loss_alone": 1.145059,
        "distance_to_alone": 0.3021,
        **fields,
    }
    return Verification(comparison=comparison, plain_step=plain_step, **given)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (verification(), "identical"),
        (verification(APART, NEAR), "rounding"),
        (verification(APART, FAR), "different"),
        (verification(APART, SAME), "different"),
        (verification(APART), "different"),
    ],
    ids=["same bits", "near after a step", "far after a step", "same after a step", "no step"],
)
def test_one_plain_step_decides_where_the_bits_differ(found: Verification, verdict: str) -> None:
    assert found.verdict == verdict


def test_equal_results_are_read_at_once() -> None:
    assert str(verification()).splitlines() == [
        "Trained    lenet with all-reduce: 20 steps, 2 workers, 4,000 images",
        "Weights    identical, bit for bit: 8 tensors with 431,080 numbers",
        "Mean loss  1.176490 by the workers, 1.176500 in one process",
        "Strategy   30 % from one worker alone with batches of 200, whose mean loss is 1.145059; that is no fault",
    ]


def test_results_that_differ_name_the_parameter_and_by_how_much() -> None:
    assert str(verification(APART, NEAR)).splitlines()[1:4] == [
        "Weights    the same within rounding",
        "           24 % of what 20 steps have changed; most in 0.weight: by 0.0045, and 0.019 changed",
        "           under 0.01 % of what one plain step has changed; up to 0.1 % is rounding",
    ]
    assert str(verification(APART, FAR)).splitlines()[1:4] == [
        "Weights    DIFFERENT",
        "           24 % of what 20 steps have changed; most in 0.weight: by 0.0045, and 0.019 changed",
        "           48 % of what one plain step has changed; up to 0.1 % is rounding",
    ]
    assert "           nothing after one plain step, so it is not rounding" in str(verification(APART, SAME))


@pytest.mark.parametrize(
    ("distance", "shown"),
    [(0.0, "0 %"), (8.6e-7, "under 0.01 %"), (0.0012, "0.12 %"), (0.62, "62 %"), (12.5, "1250 %")],
)
def test_shares_are_shown_with_two_digits(distance: float, shown: str) -> None:
    assert f"Strategy   {shown} from one worker alone" in str(verification(distance_to_alone=distance))


def test_what_was_set_aside_is_said() -> None:
    assert "Set aside  dropout in 2 layers" in str(verification(dropout=2))
    alone = verification(loss_alone=None, distance_to_alone=None)
    assert "one worker alone with batches of 200 doesn't get there" in str(alone)


def test_the_document_holds_all_and_no_infinity() -> None:
    found = verification(dataclasses.replace(APART, distance=math.inf), FAR)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["verdict"] == "different"
    assert document["comparison"]["distance"] is None
    assert document["plain_step"]["distance"] == 0.48
    assert set(document) == {field.name for field in dataclasses.fields(Verification)} | {"verdict", "rounding"}
