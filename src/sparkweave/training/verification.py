"""What a comparison of workers with one process has found, for people and for programs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from sparkweave.training.comparison import Comparison

ROUNDING = 1e-3
"""Up to this fraction of what a plain step has changed, a difference is put down to rounding: see `sparkweave.spark.verification`."""

_LEAST = 1e-4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verification:
    """What `sparkweave.verify` returns; as text, some lines for people.

    Attributes:
        network: Its name.
        strategy: Its name.
        images: How many were trained on.
        workers: How many workers there were.
        steps: How many steps each of them made.
        batch_size: The most images that a worker took in a step.
        dropout: How many layers' dropout was switched off.
        comparison: Of the workers' weights with those of one process.
        plain_step: The same after one step in float32 with plain SGD; None where it was not needed, as the bits are the same.
        loss: The workers' mean loss over all steps.
        loss_in_one_process: That of one process.
        loss_alone: That of one worker alone, on batches as large as all workers' together; None if it did not get to the end.
        distance_to_alone: How far the workers' weights are from that worker's, as a `Comparison.distance`.
    """

    network: str
    strategy: str
    images: int
    workers: int
    steps: int
    batch_size: int
    dropout: int
    comparison: Comparison
    plain_step: Comparison | None = None
    loss: float
    loss_in_one_process: float
    loss_alone: float | None
    distance_to_alone: float | None

    @property
    def verdict(self) -> str:
        """``identical`` to the bit; ``rounding``, where a plain step shows no more than that; or ``different``."""
        if self.comparison.identical:
            return "identical"
        step = self.plain_step
        # Where even the step has the same bits, the CPUs round alike, and something else made the difference.
        return "rounding" if step and not step.identical and step.distance <= ROUNDING else "different"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"verdict": self.verdict, "rounding": ROUNDING, **_finite(dataclasses.asdict(self))}

    def __str__(self) -> str:
        lines = [
            (
                "Trained",
                f"{self.network} with {self.strategy}: {self.steps:,} steps, {self.workers} workers, {self.images:,} images",
            ),
            *(zip(("Weights", "", ""), self._weights(), strict=False)),
            ("Mean loss", f"{self.loss:.6f} by the workers, {self.loss_in_one_process:.6f} in one process"),
            ("Strategy", self._alone()),
        ]
        if self.dropout:
            lines.append(
                ("Set aside", f"dropout in {self.dropout} layers: ranks of one process share their random numbers")
            )
        return "\n".join(f"{title:<11}{text}" for title, text in lines)

    def _weights(self) -> list[str]:
        found, step = self.comparison, self.plain_step
        if self.verdict == "identical":
            return [f"identical, bit for bit: {found.tensors:,} tensors with {found.numbers:,} numbers"]
        most = f"most in {found.parameter}: by {found.largest:.2g}, and {found.change:.2g} changed"
        lines = [
            "the same within rounding" if self.verdict == "rounding" else "DIFFERENT",
            f"{_percent(found.distance)} of what {self.steps:,} steps have changed; {most}",
        ]
        if step is not None and step.identical:
            lines.append("nothing after one plain step, so it is not rounding")
        elif step is not None:
            lines.append(
                f"{_percent(step.distance)} of what one plain step has changed; up to {_percent(ROUNDING)} is rounding"
            )
        return lines

    def _alone(self) -> str:
        alone = f"one worker alone with batches of {self.batch_size * self.workers:,}"
        if self.loss_alone is None or self.distance_to_alone is None:
            return f"{alone} doesn't get there: its loss is not finite"
        return f"{_percent(self.distance_to_alone)} from {alone}, whose mean loss is {self.loss_alone:.6f}; that is no fault"


def _percent(fraction: float) -> str:
    if 0 < fraction < _LEAST:
        return f"under {_LEAST * 100:g} %"
    return f"{fraction * 100:.2g} %" if fraction < 1 else f"{fraction * 100:.0f} %"


def _finite(document: Any) -> Any:
    """JSON has no infinity."""
    if isinstance(document, dict):
        return {name: _finite(value) for name, value in document.items()}
    return None if isinstance(document, float) and not math.isfinite(document) else document
