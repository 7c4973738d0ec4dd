"""Runs every benchmark, one after the other: hours on two cores, so rather run them one by one."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

NAMES = (
    "throughput",
    "reading",
    "end_to_end",
    "accuracy",
    "communication",
    "links",
    "codecs",
    "scoring",
    "serving",
    "cluster",
)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("..", "shared", "data", "fashion-mnist"))
    options, others = arguments.parse_known_args()
    if not (options.data / "train.zip").exists():
        arguments.error(f"{options.data} has no train.zip; give --data a folder with train.zip and test.zip")
    for name in NAMES:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--data", options.data, *others], check=True)


if __name__ == "__main__":
    main()
