"""Accuracy on the test images: LeNet, the residual network, and the price of averaging less often."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import heading, journal, parser, settings
from benchmarks.comparison import say, table
from benchmarks.images import smaller
from sparkweave import AllReduce, ParameterAveraging, Trainer, TrainingConfig, build_session, read_image_archives
from sparkweave.cli.options import Setting, values
from sparkweave.strategies.base import Strategy

HEADER = ("row", "accuracy: mean (each seed)", "loss on the training images", "target", "seconds a run", "seeds")


@dataclass(frozen=True)
class Row:
    """One way to train, with several seeds."""

    key: str
    network: str
    strategy: Strategy
    options: dict[str, Any]
    target: float | None = None


_SGD = [("momentum", "0.9"), ("nesterov", "true"), ("weight_decay", "5e-4")]
_LENET_RECIPE: dict[str, Any] = {
    "learning_rate": 2.5e-3,
    "schedule": "one-cycle",
    "augment": ("flip",),
    "label_smoothing": 0.1,
}


def main() -> None:
    options = _options()
    log = journal(options)
    rows = [row for row in _rows(options) if not options.only or row.key in options.only]
    print(heading("Accuracy", options), flush=True)
    lines = []
    with tempfile.TemporaryDirectory(prefix="sparkweave-benchmark-") as folder:
        train = str(smaller(options.data / "train.zip", options.images, Path(folder)))
        test = str((options.data / "test.zip").resolve())
        spark = build_session("local[2]")
        try:
            for row in rows:
                runs = []
                for seed in options.seeds:
                    measure = _measure(spark, row, seed, train, test)
                    runs.append(log.take(_key(row, seed, options), measure))
                    say(f"{row.key}, seed {seed}: {runs[-1]['accuracy']:.4f} in {runs[-1]['seconds']:.0f} s")
                lines.append(_cells(row, runs))
                say("| " + " | ".join(lines[-1]) + " |")
        finally:
            spark.stop()
    print(table(HEADER, lines), flush=True)


def _options() -> argparse.Namespace:
    arguments = parser("accuracy", __doc__, rounds=1)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--only", nargs="+", metavar="ROW", choices=[row.key for row in _rows(None)])
    arguments.add_argument("--epochs", type=int, default=10, help="of LeNet (10)")
    arguments.add_argument("--resnet-epochs", type=int, default=12)
    arguments.add_argument("--resnet-batch-size", type=int, default=64)
    arguments.add_argument("--resnet-optimizer", default="sgd")
    arguments.add_argument("--resnet-optimizer-option", type=Setting(), nargs="*", default=_SGD, metavar="NAME=VALUE")
    arguments.add_argument("--resnet-learning-rate", type=float, default=0.1)
    arguments.add_argument("--resnet-schedule", default="one-cycle")
    arguments.add_argument("--resnet-augment", nargs="*", default=["flip"])
    arguments.add_argument("--resnet-label-smoothing", type=float, default=0.1)
    arguments.add_argument("--resnet-precision", default="bfloat16")
    return arguments.parse_args()


def _rows(options: argparse.Namespace | None) -> list[Row]:
    """What is measured; without ``options``, for the rows' keys alone."""
    epochs = options.epochs if options else 10
    lenet: dict[str, Any] = {"epochs": epochs, "workers": 2}
    recipe = _recipe(options) if options else {}
    frequencies = [
        Row(f"averaging-{every}", "lenet", ParameterAveraging(averaging_frequency=every), lenet)
        for every in (1, 20, 100)
    ]
    return [
        Row("lenet-recipe", "lenet", ParameterAveraging(), {**lenet, **_LENET_RECIPE}, 0.915),
        Row("averaging-5", "lenet", ParameterAveraging(), lenet),
        Row("resnet", "resnet", ParameterAveraging(), recipe, 0.94),
        *frequencies,
        Row("averaging-5-fresh-optimizer", "lenet", ParameterAveraging(save_optimizer=False), lenet),
        Row("all-reduce", "lenet", AllReduce(), lenet),
        Row("one-worker", "lenet", ParameterAveraging(), {**lenet, "workers": 1}),
    ]


def _recipe(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "epochs": options.resnet_epochs,
        "workers": 2,
        "batch_size": options.resnet_batch_size,
        "optimizer": options.resnet_optimizer,
        "optimizer_options": values(options.resnet_optimizer_option),
        "learning_rate": options.resnet_learning_rate,
        "schedule": options.resnet_schedule,
        "augment": tuple(options.resnet_augment),
        "label_smoothing": options.resnet_label_smoothing,
        "precision": options.resnet_precision,
    }


def _key(row: Row, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """What the accuracy of one run depends on."""
    return {"row": row.key, "seed": seed, "images": settings(options)["images"], **row.options}


def _measure(spark: Any, row: Row, seed: int, train: str, test: str) -> Callable[[], dict[str, Any]]:
    def measure() -> dict[str, Any]:
        began = time.perf_counter()
        trainer = Trainer(row.network, strategy=row.strategy, config=TrainingConfig(seed=seed, **row.options))
        model = trainer.fit(read_image_archives(spark, train))
        evaluation = model.evaluate(read_image_archives(spark, test))
        epochs = [record for record in model.history if record["event"] == "epoch"]
        return {
            "accuracy": evaluation.accuracy,
            "loss": epochs[-1]["loss"],
            "losses": [epoch["loss"] for epoch in epochs],
            "images_per_second": statistics.median(epoch["images_per_second"] for epoch in epochs),
            "seconds": time.perf_counter() - began,
        }

    return measure


def _cells(row: Row, runs: list[dict[str, Any]]) -> list[str]:
    found = [run["accuracy"] for run in runs]
    mean = statistics.mean(found)
    verdict = "" if row.target is None else f">= {row.target}: {'met' if mean >= row.target else 'MISSED'}"
    return [
        row.key,
        f"**{mean:.4f}** ({', '.join(f'{accuracy:.4f}' for accuracy in found)})",
        f"{statistics.mean(run['loss'] for run in runs):.4f}",
        verdict,
        f"{statistics.median(run['seconds'] for run in runs):.0f}",
        str(len(runs)),
    ]


if __name__ == "__main__":
    main()
