"""From `sparkweave submit` to the first step on YARN, part by part, and the training there against local[2]; on an HDFS and a YARN here."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.command import heading, journal, parser, settings
from benchmarks.comparison import figure, say, table
from benchmarks.images import smaller
from sparkweave.deploy.default_environment import default_environment
from sparkweave.testing.hadoop import HadoopCluster
from sparkweave.testing.hadoop_settings import Capacity

_MARKS = {
    "Uploaded environment": "the packed environment is on HDFS",
    "Uploaded jars": "Spark's jars are on HDFS",
    "is SUBMITTED": "spark-submit has handed the application over",
    "is ACCEPTED": "YARN has accepted it",
    "is RUNNING": "the driver's container runs (its environment is unpacked)",
    "Training ": "executors are there, images are read and dealt out",
    "epoch 1/": "the first epoch has ended",
    "Saved the model": "the model is on HDFS",
    "is FINISHED": "the application has ended",
}
_CAPACITY = Capacity(node_memory_mb=6144)  # a driver of 2 GB and an executor of 2.4 GB fit on one node
_CLASSIC = ["--deploy-mode", "cluster", "--num-executors", "2", "--executor-memory", "1g", "--driver-memory", "1g"]


def main() -> None:
    arguments = parser("cluster", __doc__, rounds=1)
    arguments.add_argument("--epochs", type=int, default=4)
    options = arguments.parse_args()
    log = journal(options)
    print(heading("The cluster", options), flush=True)
    default_environment(cpu=True, report=say)
    with tempfile.TemporaryDirectory(prefix="sparkweave-benchmark-") as folder:
        archive = smaller(options.data / "train.zip", options.images, Path(folder))
        with HadoopCluster(Path(folder, "hadoop"), capacity=_CAPACITY) as cluster:
            cluster.put(archive, "/train.zip")
            runs = {
                name: log.take({"row": name, **settings(options)}, lambda name=name: _submit(cluster, options, name))
                for name in ("first submission", "second submission")
            }
        runs["local[2]"] = log.take({"row": "local", **settings(options)}, lambda: _local(archive, options, folder))
    _report(runs)


def _submit(cluster: HadoopCluster, options: argparse.Namespace, name: str) -> dict[str, Any]:
    """A run in cluster mode, with the time at which each line came; this Python has been packed before."""
    environment = {**os.environ, **cluster.environment(), "SPARK_CONF_DIR": str(cluster.conf_dir)}
    model = f"hdfs:///{name.replace(' ', '-')}.zip"
    train = ["train", "hdfs:///train.zip", "--output", model, "--workers", "2", "--epochs", str(options.epochs)]
    command = [sys.executable, "-m", "sparkweave", "submit", *_CLASSIC, "--", *train, "--json"]
    return _timed(command, environment)


def _local(archive: Path, options: argparse.Namespace, folder: str) -> dict[str, Any]:
    train = [
        "train",
        str(archive),
        "--output",
        f"{folder}/local.zip",
        "--workers",
        "2",
        "--epochs",
        str(options.epochs),
    ]
    return _timed([sys.executable, "-m", "sparkweave", *train, "--master", "local[2]", "--json"], dict(os.environ))


def _timed(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    began = time.perf_counter()
    seen: dict[str, float] = {}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            say(line.rstrip())
            for mark in _MARKS:
                if mark in line:
                    seen.setdefault(mark, time.perf_counter() - began)
        if process.wait():
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        seconds = time.perf_counter() - began
        output.seek(0)
        history = json.load(output)["history"]
    speeds = [record["images_per_second"] for record in history if record["event"] == "epoch"]
    return {"seconds": seconds, "seen": seen, "images_per_second": speeds}


def _report(runs: dict[str, dict[str, Any]]) -> None:
    submissions = {name: run for name, run in runs.items() if name != "local[2]"}
    rows = []
    for mark, meaning in _MARKS.items():
        cells = [figure(run["seen"][mark]) if mark in run["seen"] else "-" for run in submissions.values()]
        rows.append([meaning, *cells])
    print("Seconds from the start of the command until\n")
    print(table(("", *submissions), rows))
    speeds = {name: max(run["images_per_second"][1:]) for name, run in runs.items()}
    print("\nImages a second, the best epoch after the first:\n")
    against = speeds["local[2]"]
    print(table(("where", "images/s", "against local[2]"), [
        [name, figure(speed), f"{speed / against:.3f}"] for name, speed in speeds.items()
    ]), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
