"""What the dry run measures, in a process of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.unit.gangs import NETWORK, SHAPE

from sparkweave.config import TrainingConfig
from sparkweave.deploy import footprint
from sparkweave.deploy.footprint import Footprint, measure_footprint
from sparkweave.errors import ConfigError, ResourceError
from sparkweave.strategies import STRATEGIES, AllReduce

MODULES = {"daemon_modules": ["json"], "worker_modules": ["sparkweave.training.loop"]}
WEIGHTS = 5 * 9 + 5 + 2 * 5 + 45 * 3 + 3  # of the tiny network: Conv2d, BatchNorm2d, Linear
BUFFERS = 2 * 5 * 4 + 8  # BatchNorm's statistics, and its counter


def measure(network: Any = NETWORK, **options: Any) -> Footprint:
    config = TrainingConfig(**{"batch_size": 8, **options})
    return measure_footprint(
        network=network, strategy=AllReduce(), config=config, input_shape=SHAPE, classes=3, threads=1, **MODULES
    )


@pytest.fixture(scope="module")
def measured() -> Footprint:
    return measure()


def test_tensors_are_counted_to_the_byte(measured: Footprint) -> None:
    assert measured.parameters == 4 * WEIGHTS + BUFFERS
    assert measured.gradients == 4 * WEIGHTS
    assert measured.strategy == 4 * WEIGHTS
    steps_of_adam = 6 * 4
    assert measured.optimizer == 2 * 4 * WEIGHTS + steps_of_adam


def test_the_process_is_weighed_before_and_in_training(measured: Footprint) -> None:
    assert 5 << 20 < measured.daemon < measured.base
    assert [batch for batch, _ in measured.peaks] == [4, 8]
    assert measured.peak(8) >= measured.tensors


def test_the_same_question_is_answered_without_another_run(
    measured: Footprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "_run", lambda request: pytest.fail("it ran again"))
    assert measure() == measured
    assert measure(epochs=3, seed=1, learning_rate=0.5, native_memory=1 << 30, ignore_memory_plan=True) == measured


@pytest.mark.parametrize("option", [{"optimizer": "sgd"}, {"prefetch": 0}, {"precision": "bfloat16"}])
def test_what_changes_the_footprint_is_another_question(
    option: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = dict.fromkeys(("daemon", "base", "parameters", "gradients", "optimizer", "strategy", "shared_state"), 0)
    monkeypatch.setattr(footprint, "_measured", {})
    monkeypatch.setattr(footprint, "_run", lambda request: asked.append(request) or {**answer, "peaks": [(4, 1)]})
    measure()
    measure(**option)
    assert len(asked) == 2


def test_a_network_that_does_not_fit_is_the_callers_error() -> None:
    with pytest.raises(ConfigError, match="layer 1"):
        measure({"name": "wrong", "layers": [{"Conv2d": {"out_channels": 2, "kernel_size": 30}}]})


def test_a_process_that_fails_is_reported_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess([], -9, stdout="", stderr="x\nno more memory\n")
    monkeypatch.setattr(footprint.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(ResourceError, match=r"status -9: no more memory; if this machine has too little memory"):
        footprint._run("{}")


def test_a_network_that_prints_does_not_disturb_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud_network.py").write_text(
        "from torch import nn\n"
        "def build(classes):\n"
        "    print('hello')\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert measure({"name": "loud", "factory": "loud_network:build"}).parameters == 4 * (64 * 3 + 3)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategys_options_can_be_sent(name: str) -> None:
    json.dumps(footprint.dataclasses.asdict(STRATEGIES[name]()))  # type: ignore[call-overload]
