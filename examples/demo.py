"""The tour that `make demo` takes: real images, two workers, an evaluation, a saved model, predictions.

The images are scikit-learn's 1,797 handwritten digits, 8x8 pixels each, which this program enlarges to 28x28 and writes as ZIP
archives of PNGs named LABEL_NNNN.png. Everything after that is done by the `sparkweave` command, as you would type it. ::

    python examples/demo.py [FOLDER]
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

TRAINING_IMAGES = 1500


def main() -> None:
    arguments = parse_arguments()
    folder: Path = arguments.folder
    began = time.monotonic()
    write_archives(folder)
    run(
        "train", folder / "train", "--test", folder / "test.zip", "--output", folder / "digits.zip", "--overwrite",
        "--network", "lenet", "--workers", 2, "--master", "local[2]", "--epochs", arguments.epochs, "--batch-size", 50,
    )  # fmt: skip
    run("evaluate", folder / "digits.zip", folder / "test.zip", "--master", "local[2]", "--json", quiet=True)
    run(
        "predict", folder / "digits.zip", folder / "test.zip", "--output", folder / "predictions.csv", "--overwrite",
        "--master", "local[2]",
    )  # fmt: skip
    show_predictions(folder / "predictions.csv")
    print(f"\nAll of this took {time.monotonic() - began:.0f} seconds. The model is {folder / 'digits.zip'}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train, evaluate and predict on handwritten digits.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"), help="where everything is written (demo)")
    parser.add_argument("--epochs", type=int, default=10)
    return parser.parse_args()


def write_archives(folder: Path) -> None:
    """Three archives of training images and one of test images."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    training, test = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    for number, part in enumerate(np.array_split(training, 3)):
        write_archive(folder / "train" / f"part-{number}.zip", images, labels, part)
    write_archive(folder / "test.zip", images, labels, test)
    print(f"Wrote {len(training)} training and {len(test)} test images as ZIP archives to {folder}/")


def write_archive(path: Path, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for index in chosen:
            pixels = (images[index].reshape(8, 8) * (255 / 16)).astype(np.uint8)
            _, png = cv2.imencode(".png", cv2.resize(pixels, (28, 28), interpolation=cv2.INTER_CUBIC))
            archive.writestr(f"{labels[index]}_{index:04}.png", png.tobytes())


def run(*arguments: object, quiet: bool = False) -> None:
    """Shows and runs a command, as a person would."""
    words = ["sparkweave", *map(str, arguments)]
    print(f"\n$ {shlex.join(words)}", flush=True)
    command = [sys.executable, "-m", *words]
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE if quiet else None, text=True)
    if result.returncode:
        sys.exit(result.returncode)
    if quiet:
        print("\n".join(result.stdout.splitlines()[:10]), "\n  ...")


def show_predictions(folder: Path) -> None:
    """The first lines of one file that Spark wrote."""
    part = next(path for path in sorted(folder.glob("*.csv")) if path.stat().st_size)
    print(f"\n$ head -4 {part}")
    print("\n".join(part.read_text().splitlines()[:4]))


if __name__ == "__main__":
    main()
