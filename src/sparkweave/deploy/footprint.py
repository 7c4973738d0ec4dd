"""What memory one worker takes, measured on this machine: see `sparkweave.deploy.dry_run`."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sparkweave import errors
from sparkweave.errors import ResourceError, SparkweaveError

if TYPE_CHECKING:
    from sparkweave.config import TrainingConfig
    from sparkweave.strategies import Strategy

_SECONDS = 4.0
_LIMIT_SECONDS = 300.0
_CONFIG = (
    "batch_size",
    "optimizer",
    "optimizer_options",
    "label_smoothing",
    "augment",
    "prefetch",
    "precision",
    "loss",
)
_measured: dict[str, Footprint] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes that a worker's process has resident.

    Attributes:
        daemon: Python with what Spark's daemon imports; it forks the workers and stays beside them.
        base: Python, torch and all that a worker imports, before it trains.
        parameters: Of the network, with its buffers.
        gradients: One for each trainable parameter.
        optimizer: The optimizer's state.
        strategy: What the strategy keeps besides: residuals, flat buffers.
        shared_state: What a segment starts from and returns, as bytes, the same for all workers: parameters, mostly the
            optimizer's state.
        local_state: What it starts from and returns for each worker alone.
        peaks: (batch size, most bytes above ``base`` while training with it), of growing batches.
        reserved: Asked of the system above ``base`` but not used at the peak: it counts against a worker's own limit alone.
    """

    daemon: int
    base: int
    parameters: int
    gradients: int
    optimizer: int
    strategy: int
    shared_state: int
    peaks: tuple[tuple[int, int], ...]
    local_state: int = 0
    reserved: int = 0

    @property
    def tensors(self) -> int:
        """What stays from step to step, whatever the batch."""
        return self.parameters + self.gradients + self.optimizer + self.strategy

    @property
    def measured_batch(self) -> int:
        """The largest batch that was measured; beyond, `peak` draws a line."""
        return self.peaks[-1][0]

    def peak(self, batch: int) -> int:
        """Most bytes above ``base`` with batches of ``batch`` images; it never falls as batches grow."""
        points = [
            (size, max(peak for _, peak in self.peaks[: index + 1])) for index, (size, peak) in enumerate(self.peaks)
        ]
        if batch <= points[0][0]:
            return points[0][1]
        if len(points) == 1:
            return round(points[0][1] * batch / points[0][0])
        pairs = list(itertools.pairwise(points))
        (left, low), (right, high) = next((pair for pair in pairs if batch <= pair[1][0]), pairs[-1])
        return low + round((high - low) * (batch - left) / (right - left))


def measure_footprint(
    *,
    network: Mapping[str, Any],
    strategy: Strategy,
    config: TrainingConfig,
    input_shape: tuple[int, ...],
    classes: int,
    threads: int,
    daemon_modules: Sequence[str],
    worker_modules: Sequence[str],
) -> Footprint:
    """Trains some steps in a new process, which takes some seconds; the same question is answered at once later.

    Args:
        network: What `sparkweave.networks.describe_network` returned.
        strategy: Of the run.
        config: Of the run; what changes nothing (epochs, seed, a limit) makes no other question.
        input_shape: (channels, height, width) of the images, or (numbers,) of the vectors.
        classes: How many there are; 0 where numbers are to be predicted.
        threads: That a worker computes with.
        daemon_modules: What Spark's Python daemon imports.
        worker_modules: What a worker imports on top.

    Raises:
        ConfigError: if the network or the optimizer can't be made.
        ResourceError: if the process fails.
    """
    request = json.dumps(
        {
            "network": network,
            "strategy": strategy.name,
            "strategy_options": dataclasses.asdict(strategy),  # type: ignore[call-overload]
            "config": {name: getattr(config, name) for name in _CONFIG},
            "input_shape": input_shape,
            "classes": classes,
            "threads": threads,
            "daemon_modules": list(daemon_modules),
            "worker_modules": list(worker_modules),
            "seconds": _SECONDS,
        },
        sort_keys=True,
    )
    if request not in _measured:
        _measured[request] = _footprint(_run(request))
    return _measured[request]


def _run(request: str) -> dict[str, Any]:
    # A user's own network is found wherever this process would find it.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sparkweave.deploy.dry_run"],
            input=request,
            capture_output=True,
            text=True,
            env=environment,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ResourceError(f"the dry run that measures a worker's memory did not answer: {error}") from error
    if not answer:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ResourceError(
            f"the dry run that measures a worker's memory ended with status {done.returncode}: {lines[-1]}; "
            "if this machine has too little memory for one step, plan on one that has it"
        )
    return answer


def _footprint(answer: dict[str, Any]) -> Footprint:
    if "error" in answer:
        kind: type[SparkweaveError] = getattr(errors, answer["error"], SparkweaveError)
        raise kind(answer["message"])
    return Footprint(**{**answer, "peaks": tuple((size, peak) for size, peak in answer["peaks"])})
