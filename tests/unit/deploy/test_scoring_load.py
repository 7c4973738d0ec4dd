"""What scoring takes."""

from __future__ import annotations

import pytest

from sparkweave.deploy.memory_plan import Containers, MemoryPlan, Workload
from sparkweave.deploy.memory_size import GIB, MIB
from sparkweave.deploy.scoring_load import scoring_load


def load(model_bytes: int = MIB, shape: tuple[int, ...] = (1, 28, 28)) -> Workload:
    return scoring_load(model_bytes=model_bytes, shape=shape, workers=2, batch_rows=256)


@pytest.mark.parametrize(("shape", "peak"), [((3, 32, 32), 80), ((3, 64, 64), 280), ((3, 224, 224), 3350)])
def test_one_batch_of_the_built_in_resnet_is_covered(shape: tuple[int, ...], peak: int) -> None:
    measured = peak * MIB
    assert measured <= load(0, shape).footprint.peak(1) <= 1.2 * measured + 16 * MIB


def test_a_larger_model_takes_more() -> None:
    small, large = (MemoryPlan(load(size), Containers()).worker for size in (MIB, GIB))
    assert 3 * GIB < large - small < 6 * GIB


def test_vectors_have_batches_too() -> None:
    assert load(0, (1000,)).footprint.peak(1) > load(0, (1, 10, 10)).footprint.peak(1)
