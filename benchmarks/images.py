"""The images to measure with: as arrays, or as a smaller archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt


def read_entries(archive: Path, count: int | None = None) -> list[tuple[str, bytes]]:
    """Names and contents of ``count`` entries, spread evenly over the archive, which is sorted by class."""
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
        chosen = names if count is None else [names[i * len(names) // count] for i in range(min(count, len(names)))]
        return [(name, file.read(name)) for name in chosen]


def read_arrays(archive: Path, count: int | None = None) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Shuffled pixels, uint8 (N, H, W, 1), and labels."""
    entries = read_entries(archive, count)
    pixels = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) for _, data in entries]
    labels = np.array([int(name.rpartition("/")[2].split("_")[0]) for name, _ in entries])
    order = np.random.default_rng(0).permutation(len(entries))
    return np.stack(pixels)[order][..., None], labels[order]


def smaller(archive: Path, count: int | None, folder: Path) -> Path:
    """``archive`` itself, or a copy in ``folder`` with ``count`` of its entries."""
    if count is None:
        return archive.resolve()
    target = folder / archive.name
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in read_entries(archive, count):
            file.writestr(name, data)
    return target
