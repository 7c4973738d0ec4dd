"""What codecs make of updates, and how fast, on one thread: of entries at random, and of those that LeNet's training sends.

The bytes are those of whole frames, and all codecs get the same updates.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.command import heading, journal, parser, settings
from benchmarks.communication import train
from benchmarks.comparison import figure, say, table
from benchmarks.images import read_arrays
from sparkweave.compression.codec import Codec
from sparkweave.compression.frame import CODECS, decode, encode
from sparkweave.compression.quantize import Quantizer
from sparkweave.compression.sparse import Sparse
from sparkweave.compression.update import SparseUpdate, apply
from sparkweave.config import TrainingConfig
from sparkweave.distributed.collective import Collective
from sparkweave.distributed.in_process import run_gang
from sparkweave.strategies import GradientSharing

HEADER = (
    "entries",
    "density",
    "codec",
    "bytes",
    "bits an entry",
    "signed 32-bit form against it",
    "µs to write",
    "µs to read",
)
HEADER_OF_STEPS = ("density", "µs to take", "µs to write", "µs to read", "µs to apply", "all for two workers")
PARAMETERS = 431_080
DENSITIES = (1e-4, 1e-3, 1e-2, 1e-1)
RUNS: dict[str, tuple[GradientSharing, dict[str, Any]]] = {
    "Adam, adaptive": (
        GradientSharing(exchange_frequency=1, threshold_algorithm="adaptive"),
        {"optimizer": "adam", "learning_rate": 1e-3},
    ),
    "SGD, target 1e-3": (
        GradientSharing(exchange_frequency=1, target_sparsity=1e-3),
        {"optimizer": "sgd", "learning_rate": 0.05},
    ),
}
_MESSAGES = 20
_FEWEST_MESSAGES = 5
_WORKERS = 2
_WAYS: dict[str, Sequence[Codec]] = {**{codec.name: [codec] for codec in CODECS}, "the shortest": CODECS}


def main() -> None:
    options = parser("codecs", __doc__, rounds=20).parse_args()
    torch.set_num_threads(1)
    log = journal(options)
    print(heading("Codecs", options), flush=True)
    rows = []
    for density in DENSITIES:
        measure = partial(_measure, [_at_random(density, seed) for seed in range(_MESSAGES)], options.rounds)
        rows += _rows("at random", log.take({"row": "random", "density": density, **settings(options)}, measure))
    with tempfile.TemporaryDirectory(prefix="sparkweave-benchmark-") as folder:
        pixels, labels = read_arrays(options.data / "train.zip", options.images)
        np.savez(Path(folder, "train"), pixels=pixels, labels=labels)
        for name in RUNS:
            measure = partial(_measure_training, folder, name, options.rounds)
            for decade, found in log.take({"row": name, **settings(options)}, measure).items():
                rows += _rows(f"LeNet, {name}, about {decade}", found)
    print(table(HEADER, rows), flush=True)
    steps = log.take({"row": "steps", **settings(options)}, partial(_steps, options.rounds))
    print("\nA step's messages of entries at random:\n\n" + table(HEADER_OF_STEPS, list(steps["rows"])), flush=True)


def _at_random(density: float, seed: int) -> SparseUpdate:
    generator = np.random.default_rng(seed)
    indices = np.flatnonzero(generator.random(PARAMETERS) < density)
    return SparseUpdate(PARAMETERS, 0.5, indices, generator.random(len(indices)) < 0.5)


class _Recorder:
    """A collective that keeps the frames its worker sends."""

    def __init__(self, collective: Collective) -> None:
        self._collective = collective
        self.frames: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collective, name)

    def all_gather_bytes(self, frame: bytes) -> list[bytes]:
        self.frames.append(frame)
        return self._collective.all_gather_bytes(frame)


def _measure_training(folder: str, name: str, rounds: int) -> dict[str, Any]:
    """The messages of the last two thirds of an epoch, by the power of ten that is nearest to their density."""
    strategy, options = RUNS[name]
    config = TrainingConfig(epochs=1, batch_size=100, **options)
    work = partial(_train_recorded, folder=folder, strategy=strategy, config=config)
    frames = run_gang(_WORKERS, work, timeout_seconds=600)[0]
    updates = [decode(frame, PARAMETERS) for frame in frames[len(frames) // 3 :]]
    decades: dict[str, list[SparseUpdate]] = {}
    for update in updates:
        if isinstance(update, SparseUpdate) and update.count:
            decades.setdefault(f"1e{round(math.log10(update.count / PARAMETERS))}", []).append(update)
    say(f"{name}: messages by density { ({decade: len(found) for decade, found in decades.items()}) }")
    return {
        decade: _measure(found[:: -(-len(found) // _MESSAGES)], rounds)
        for decade, found in sorted(decades.items())
        if len(found) >= _FEWEST_MESSAGES
    }


def _train_recorded(collective: Collective, **arguments: Any) -> list[bytes]:
    recorder = _Recorder(collective)
    train(recorder, **arguments)
    return recorder.frames[:-1]  # the last one is the digest at the epoch's end


def _measure(updates: Sequence[SparseUpdate], rounds: int) -> dict[str, Any]:
    """Means over ``updates``."""
    count = statistics.mean(update.count for update in updates)
    return {"count": count, "ways": {name: _way(updates, codecs, rounds) for name, codecs in _WAYS.items()}}


def _way(updates: Sequence[SparseUpdate], codecs: Sequence[Codec], rounds: int) -> dict[str, float]:
    frames = [encode(update, codecs) for update in updates]
    for update, frame in zip(updates, frames, strict=True):
        again = decode(frame, update.size)
        if not isinstance(again, SparseUpdate) or not np.array_equal(again.indices, update.indices):
            raise ValueError(f"a frame of {codecs[0].name} is read as another update")
    return {
        "bytes": statistics.mean(map(len, frames)),
        "write": statistics.mean(_microseconds(partial(_write, update, codecs), rounds) for update in updates),
        "read": statistics.mean(_microseconds(partial(decode, frame, PARAMETERS), rounds) for frame in frames),
    }


def _write(update: SparseUpdate, codecs: Sequence[Codec] = CODECS) -> bytes:
    """As if new: an update keeps its gaps once they are computed."""
    return encode(SparseUpdate(update.size, update.threshold, update.indices, update.negative), codecs)


def _microseconds(work: Callable[[], object], rounds: int) -> float:
    """The best of ``rounds``: whatever else the machine does only adds to it."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return 1e6 * min(found)


def _rows(entries: str, measured: dict[str, Any]) -> list[list[str]]:
    classical = measured["ways"][Sparse.name]["bytes"]
    return [
        [
            entries,
            f"{measured['count'] / PARAMETERS:.2e}",
            name,
            figure(way["bytes"]),
            f"{8 * way['bytes'] / measured['count']:.2f}",
            f"{classical / way['bytes']:.2f}",
            figure(way["write"]),
            figure(way["read"]),
        ]
        for name, way in measured["ways"].items()
    ]


def _steps(rounds: int) -> dict[str, Any]:
    return {"rows": [_step(density, rounds) for density in DENSITIES]}


def _step(density: float, rounds: int) -> list[str]:
    """One worker takes and writes its update, reads the other's, and applies both."""
    residual = np.random.default_rng(0).standard_normal(PARAMETERS).astype(np.float32)
    threshold = float(np.quantile(np.abs(residual), 1 - density))
    quantizer, target, kept = Quantizer(PARAMETERS), np.zeros_like(residual), residual.copy()

    def take() -> SparseUpdate:
        np.copyto(kept, residual)
        update = quantizer.take(kept, threshold)
        assert isinstance(update, SparseUpdate)
        return update

    update = take()
    frame = encode(update)
    works: list[Callable[[], object]] = [
        take,
        lambda: _write(update),
        lambda: decode(frame, PARAMETERS),
        lambda: apply(update, target),
    ]
    times = [_microseconds(work, rounds) for work in works]
    times[0] -= _microseconds(lambda: np.copyto(kept, residual), rounds)
    return [f"{density:g}", *map(figure, times), figure(2 * sum(times))]


if __name__ == "__main__":
    main()
