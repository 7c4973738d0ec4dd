"""What a verification does without Spark."""

from __future__ import annotations

from typing import Any

import pytest

from sparkweave.data.summary import DatasetSummary
from sparkweave.errors import ResourceError
from sparkweave.networks import describe_network
from sparkweave.spark import verification as module

SUMMARY = DatasetSummary(
    sizes=(4, 4), shape=(1, 8, 8), labels=("0", "1"), counts={"0": 4, "1": 4}, mean=(0.5,), deviation=(0.2,)
)


@pytest.mark.parametrize("ended", [False, True])
def test_a_training_in_this_process_ends_with_the_session(monkeypatch: pytest.MonkeyPatch, ended: bool) -> None:
    monkeypatch.setattr(module, "has_ended", lambda _: ended)
    session: Any = None
    report: Any = module._unless_ended(session)
    if ended:
        with pytest.raises(ResourceError, match="the Spark session has ended"):
            report(None)
    else:
        report(None)


def test_parameters_are_told_from_statistics_and_dropout_is_counted() -> None:
    layers = ["Flatten", {"Linear": {"out_features": "classes"}}, "BatchNorm1d", {"Dropout": {"p": 0.1}}]
    found = module._examined(describe_network({"layers": layers}), SUMMARY)
    assert found.dropout == 1
    assert found.parameters == {"1.weight", "1.bias", "2.weight", "2.bias"}
