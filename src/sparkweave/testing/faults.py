"""Faults on purpose: a network that fails one worker at one step, in the way a test asks for.

The plan travels as a local property of the Spark jobs, so nothing in the product knows of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from sparkweave.networks import build_network

if TYPE_CHECKING:
    import torch
    from pyspark.sql import SparkSession

FACTORY = "sparkweave.testing.faults:network"
KINDS = ("raise", "kill-worker", "kill-executor", "stop", "crash", "nan", "slow", "stall")
_PROPERTY = "sparkweave.testing.fault"
_LAYERS = {
    "layers": [
        {"Conv2d": {"out_channels": 4, "kernel_size": 3}},
        "ReLU",
        "Flatten",
        {"Linear": {"out_features": "classes"}},
    ]
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong.

    Attributes:
        kind: One of `KINDS`.
        rank: On which worker.
        step: At which training step of a segment, from 1.
        marker: A file that is made when it happens; it happens once, unless ``always``.
        always: Whether it happens again in every attempt.
    """

    kind: str
    rank: int
    step: int
    marker: str
    always: bool = False


@contextlib.contextmanager
def injected(spark: SparkSession, fault: Fault) -> Iterator[None]:
    """Jobs started inside carry ``fault``; it strikes if their network is `FACTORY`."""
    spark.sparkContext.setLocalProperty(_PROPERTY, json.dumps(dataclasses.asdict(fault)))
    try:
        yield
    finally:
        if spark.sparkContext._jsc is not None:
            spark.sparkContext.setLocalProperty(_PROPERTY, None)  # type: ignore[arg-type]


def network(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """A tiny network that fails as planned; without a plan it never does."""
    return _Faulty(build_network(_LAYERS, input_shape=input_shape, classes=classes, allow_code=False))


class _Faulty(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self._steps = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.inner(images)
        if self.training:
            self._steps += 1
            return self._strike(output)
        return output

    def _strike(self, output: torch.Tensor) -> torch.Tensor:
        from pyspark import TaskContext

        context = TaskContext.get()
        plan = context.getLocalProperty(_PROPERTY) if context else None
        if not plan or context is None:
            return output
        fault = Fault(**json.loads(plan))
        if fault.rank != context.partitionId() or fault.step != self._steps:
            return output
        if os.path.exists(fault.marker) and not fault.always:
            return output
        Path(fault.marker).touch()
        return _strike(fault.kind, output)


def _strike(kind: str, output: torch.Tensor) -> torch.Tensor:
    match kind:
        case "raise":
            raise ArithmeticError("a fault on purpose")
        case "kill-worker":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill-executor":
            os.kill(_executor(), signal.SIGKILL)
            time.sleep(60)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "nan":
            return output * float("nan")
        case "slow":
            time.sleep(3)
        case "stall":
            time.sleep(60)
    return output


def _executor() -> int:
    """The executor's JVM: the first Java process among the ancestors of this one."""
    process = os.getpid()
    while process > 1:
        fields: Any = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        process = int(fields[1])
        if "java" in Path(f"/proc/{process}/comm").read_text():
            return process
    raise RuntimeError("no Java process is an ancestor of this worker")
