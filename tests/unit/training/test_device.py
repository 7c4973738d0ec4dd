"""Where a worker computes."""

from __future__ import annotations

import pytest
import torch

from sparkweave import config
from sparkweave.errors import ResourceError
from sparkweave.training.device import autocast_dtype, choose_device


@pytest.mark.parametrize("resources", [{}, {"gpu": []}, {"fpga": ["0"]}], ids=str)
def test_a_task_without_a_gpu_computes_on_the_cpu(resources: dict[str, list[str]]) -> None:
    assert choose_device(resources, cuda_devices=4) == torch.device("cpu")


def test_a_task_takes_the_gpu_that_spark_assigned() -> None:
    assert choose_device({"gpu": ["2", "3"]}, cuda_devices=4) == torch.device("cuda", 2)


def test_a_process_that_sees_its_own_gpu_alone_takes_that() -> None:
    assert choose_device({"gpu": ["3"]}, cuda_devices=1) == torch.device("cuda", 0)


def test_a_gpu_that_torch_cannot_use_is_an_error() -> None:
    with pytest.raises(ResourceError, match=r"assigned GPU 1.*torch sees no CUDA device; install a CUDA build"):
        choose_device({"gpu": ["1"]}, cuda_devices=0)


def test_torch_is_asked_how_many_gpus_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device({"gpu": ["1"]}) == torch.device("cuda", 1)


def test_each_precision_that_can_be_asked_for_has_a_type() -> None:
    assert [autocast_dtype(name) for name in config.PRECISIONS] == [None, torch.bfloat16, torch.float16]
