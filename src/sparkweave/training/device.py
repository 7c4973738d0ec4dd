"""Where a worker computes: the GPU that Spark assigned to its task, else the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from sparkweave.errors import ResourceError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(resources: Mapping[str, Sequence[str]], *, cuda_devices: int | None = None) -> torch.device:
    """The device of a task.

    Args:
        resources: Addresses by resource name, as ``TaskContext.resources()`` gives them.
        cuda_devices: How many CUDA devices this process sees; asked of torch by default.

    Raises:
        ResourceError: if Spark assigned a GPU that torch can't use.
    """
    addresses = list(resources.get("gpu", ()))
    if not addresses:
        return torch.device("cpu")
    visible = torch.cuda.device_count() if cuda_devices is None else cuda_devices
    index = int(addresses[0])
    if visible == 0:
        raise ResourceError(
            f"Spark assigned GPU {index} to this task, but torch sees no CUDA device; "
            "install a CUDA build of torch and the driver, or leave spark.task.resource.gpu.amount unset"
        )
    # Where YARN or Kubernetes isolates devices, the process sees its own alone, numbered from 0.
    return torch.device("cuda", index if index < visible else 0)


def autocast_dtype(precision: str) -> torch.dtype | None:
    """The type of mixed precision, or None for ``float32``."""
    return None if precision == "float32" else _DTYPES[precision]
