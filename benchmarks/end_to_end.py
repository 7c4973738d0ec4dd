"""The whole job, from a cold start to a saved model: the command against a plain script and against TorchDistributor."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.command import heading, journal, parser, settings
from benchmarks.comparison import HEADER, Comparison, figure, say, table
from benchmarks.images import smaller

_ROOT = Path(__file__).resolve().parents[1]
_TIMEOUT_SECONDS = 3600
NAMES = {
    "sparkweave": "`sparkweave train`, 2 workers on local[2]",
    "plain": "plain PyTorch script, zipfile + Pillow, one process",
    "distributor": "PySpark's TorchDistributor, DDP, 2 processes",
}


def main() -> None:
    arguments = parser("end_to_end", __doc__, rounds=3)
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--plain-loader", action="store_true", help="let the plain script use a DataLoader")
    arguments.add_argument("--only", nargs="+", choices=list(NAMES), default=list(NAMES))
    options = arguments.parse_args()
    log = journal(options)
    print(heading("The whole job", options), flush=True)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in options.only}
    with tempfile.TemporaryDirectory(prefix="sparkweave-benchmark-") as folder:
        commands = _commands(options, Path(folder))
        for number in range(options.rounds):
            for name in options.only:
                key = {"row": name, "round": number, **settings(options)}
                result = log.take(key, lambda name=name: _run(commands[name]))
                say(f"{name}: {result['seconds']:.1f} s, accuracy {result['accuracy']:.4f}")
                found[name].append(result)
    _report(found)


def _commands(options: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    train, test = (
        str(smaller(options.data / name, count, folder))
        for name, count in (
            ("train.zip", options.images),
            ("test.zip", options.images and max(100, options.images // 6)),
        )
    )
    epochs = ["--epochs", str(options.epochs)]
    loader = ["--loader"] if options.plain_loader else []
    files = ["--train", train, "--test", test, *epochs]
    python, model = [sys.executable, "-m"], str(folder / "model.zip")
    product = ["train", train, "--test", test, "--output", model, "--overwrite", *epochs]
    return {
        "sparkweave": [*python, "sparkweave", *product, "--workers", "2", "--master", "local[2]", "--json"],
        "plain": [*python, "benchmarks.baselines.plain_pytorch", *files, "--output", str(folder / "plain.pt"), *loader],
        "distributor": [*python, "benchmarks.baselines.torch_distributor", *files, "--output", str(folder / "ddp.pt")],
    }


def _run(command: list[str]) -> dict[str, Any]:
    """Runs ``command`` to its end: seconds, accuracy, and what it tells of its parts."""
    paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    if "sparkweave" in command:
        document = json.loads(done.stdout)
        epochs = [record["seconds"] for record in document["history"] if record["event"] == "epoch"]
        return {"seconds": seconds, "accuracy": document["evaluation"]["accuracy"], "training": sum(epochs)}
    return {"seconds": seconds, **json.loads(done.stdout.splitlines()[-1])}


def _report(found: dict[str, list[dict[str, Any]]]) -> None:
    rows = []
    for name, results in found.items():
        medians = {part: statistics.median(r[part] for r in results) for part in ("seconds", "training", "accuracy")}
        spread = f"{min(r['seconds'] for r in results):.1f} to {max(r['seconds'] for r in results):.1f}"
        figures = [
            f"{figure(medians['seconds'])} ({spread})",
            figure(medians["training"]),
            f"{medians['accuracy']:.4f}",
        ]
        rows.append([NAMES[name], *figures, str(len(results))])
    print(table(("command", "seconds (min to max)", "of it in the steps", "accuracy", "runs"), rows), flush=True)
    seconds = {name: [result["seconds"] for result in results] for name, results in found.items()}
    if "sparkweave" not in seconds:
        return
    targets = {"plain": "<= 0.8", "distributor": ""}
    ratios = [
        Comparison(
            name=f"sparkweave against {NAMES[name]}", first=seconds["sparkweave"], second=times, target=targets[name]
        )
        for name, times in seconds.items()
        if name != "sparkweave"
    ]
    if ratios:
        print("\nSeconds:\n\n" + table(HEADER, [ratio.cells() for ratio in ratios]), flush=True)


if __name__ == "__main__":
    main()
