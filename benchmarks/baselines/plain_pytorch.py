"""A training script as a user of PyTorch would write it: read the ZIP with Pillow, train LeNet in one process, save.

Eager, contiguous, default Adam, and as many threads as torch takes by itself. It is kind to itself in one thing: the
images are kept as one tensor and indexed, without the cost of a DataLoader (``--loader`` takes one).
"""

from __future__ import annotations

import argparse
import io
import json
import time
import zipfile
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def lenet() -> nn.Sequential:
    """The same layers as the built-in ``lenet``."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(),
        nn.Linear(500, 10),
    )


def read_archive(path: str, first: int = 0, step: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Every ``step``-th image from ``first`` on: float32 (N, 1, 28, 28) in [0, 1], and labels."""
    images, labels = [], []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist()[first::step]:
            images.append(np.asarray(Image.open(io.BytesIO(archive.read(name)))))
            labels.append(int(name.split("_")[0]))
    return torch.from_numpy(np.stack(images)).unsqueeze(1) / 255.0, torch.tensor(labels)


def batches(
    images: torch.Tensor, labels: torch.Tensor, batch_size: int, *, loader: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in a new order."""
    if loader:
        yield from DataLoader(TensorDataset(images, labels), batch_size=batch_size, shuffle=True)
        return
    for chosen in torch.randperm(len(images)).split(batch_size):
        yield images[chosen], labels[chosen]


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of the images that ``model`` gets right."""
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(x).argmax(1) == y).sum()) for x, y in zip(images.split(1000), labels.split(1000), strict=True)
        )
    return right / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loader", action="store_true")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    began = time.perf_counter()
    images, labels = read_archive(options.train)
    mean, deviation = images.mean(), images.std()
    images = (images - mean) / deviation
    read = time.perf_counter()
    model = lenet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(options.epochs):
        total = 0.0
        for x, y in batches(images, labels, options.batch_size, loader=options.loader):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        print(f"epoch {epoch + 1}: loss {total / len(labels):.4f}", flush=True)
    trained = time.perf_counter()
    test_images, test_labels = read_archive(options.test)
    result = accuracy(model, (test_images - mean) / deviation, test_labels)
    torch.save(model.state_dict(), options.output)
    print(json.dumps({"accuracy": result, "reading": read - began, "training": trained - read}))


if __name__ == "__main__":
    main()
