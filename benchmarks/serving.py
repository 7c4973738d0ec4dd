"""The online service under load: against a FastAPI handler without batches, and against PyTorch that has its images at hand."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.command import heading, journal, parser, settings
from benchmarks.comparison import HEADER, Measure, compare, say, table
from benchmarks.http_load import load, multipart_request
from benchmarks.images import read_entries
from benchmarks.workers import Seat, Workers
from sparkweave.artifacts.model import ModelArtifact
from sparkweave.networks import build_network, describe_network
from sparkweave.testing.ports import free_ports, is_listening

_SHAPE = (1, 28, 28)
_LABELS = [str(label) for label in range(10)]
_IMAGES = 2048
_START_SECONDS = 60.0


def main() -> None:
    arguments = parser("serving", __doc__, rounds=5)
    arguments.add_argument("--seconds", type=float, default=4.0, help="of load in each measurement (4)")
    arguments.add_argument("--connections", type=int, default=64, help="that send one image at a time (64)")
    arguments.add_argument("--batch", type=int, default=64, help="images of the large requests, and offline (64)")
    arguments.add_argument("--network", default="lenet", help="lenet or resnet")
    options = arguments.parse_args()
    log = journal(options)
    images = [content for _, content in read_entries(options.data / "test.zip", _IMAGES)]
    with ExitStack() as stack:
        model = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model.zip")
        _model(options.network).save(model)
        ours, theirs = free_ports(2)
        stack.enter_context(_server(ours, ["sparkweave", "serve", model, "--port", str(ours), "--threads", "1"]))
        handler = ["uvicorn", "benchmarks.baselines.serving_handler:app", "--port", str(theirs), "--no-access-log"]
        stack.enter_context(_server(theirs, [*handler, "--log-level", "warning"], MODEL=model))
        offline = stack.enter_context(Workers(1))
        singles, batches = _requests(images, options.batch)
        one = functools.partial(_served, connections=options.connections, seconds=options.seconds)
        many = functools.partial(_served, connections=8, seconds=options.seconds, images=options.batch)
        network = functools.partial(_offline, offline, model, images, options.batch, options.seconds)
        rows: list[tuple[str, Measure, Measure, str]] = [
            ("one image a request: serve against FastAPI", *_pair(one, ours, theirs, singles, "/predict"), ">= 3"),
            ("one image: serve against FastAPI, async def", *_pair(one, ours, theirs, singles, "/predict-async"), ""),
            (
                f"{options.batch} images a request: serve against PyTorch on decoded images, one thread",
                functools.partial(many, ours, batches),
                functools.partial(network, decoding=False),
                ">= 0.8",
            ),
            (
                "the same against PyTorch that decodes",
                functools.partial(many, ours, batches),
                functools.partial(network, decoding=True),
                "",
            ),
        ]
        print(heading("The online service", options), flush=True)
        made = [
            compare(
                name, first, second, rounds=options.rounds, journal=log, settings=settings(options), target=target
            ).cells()
            for name, first, second, target in rows
        ]
    print("Images a second:\n")
    print(table(HEADER, made), flush=True)


def _pair(one: Any, ours: int, theirs: int, singles: Any, path: str) -> tuple[Measure, Measure]:
    return functools.partial(one, ours, singles("/predict")), functools.partial(one, theirs, singles(path))


def _requests(images: Sequence[bytes], batch: int) -> tuple[Any, list[bytes]]:
    batches = [images[start : start + batch] for start in range(0, len(images) - batch + 1, batch)]

    def singles(path: str) -> list[bytes]:
        return [multipart_request(path, [image]) for image in images]

    return singles, [multipart_request("/predict", batch) for batch in batches]


def _served(port: int, requests: Sequence[bytes], *, connections: int, seconds: float, images: int = 1) -> float:
    """Images a second at saturation."""
    found = load(port, requests, connections=connections, seconds=seconds)
    say(f"  {found.rate * images:,.0f} images/s, median {found.median * 1e3:.1f} ms, p99 {found.p99 * 1e3:.1f} ms")
    return found.rate * images


def _offline(
    workers: Workers, model: str, images: Sequence[bytes], batch: int, seconds: float, *, decoding: bool
) -> float:
    arguments = {"model": model, "images": list(images), "batch": batch, "seconds": seconds, "decoding": decoding}
    return float(workers.run(predict_offline, **arguments)[0])


def predict_offline(
    _seat: Seat, *, model: str, images: Sequence[bytes], batch: int, seconds: float, decoding: bool
) -> float:
    """Images a second of one thread that has all images in memory, in batches."""
    from sparkweave.data.images import decode, use_one_thread

    torch.set_num_threads(1)
    use_one_thread()
    artifact = ModelArtifact.load(model)
    network = build_network(artifact.config["network"], input_shape=_SHAPE, classes=len(_LABELS), allow_code=False)
    network.load_state_dict(dict(artifact.weights))
    network.eval().to(memory_format=torch.channels_last)
    mean, deviation = (artifact.config["preprocessing"][name][0] for name in ("mean", "deviation"))
    pixels = np.stack([decode(image) for image in images])
    began, done = time.perf_counter(), 0
    with torch.inference_mode():
        while time.perf_counter() < began + seconds:
            start = done % (len(images) - batch + 1)
            chosen = slice(start, start + batch)
            rows = np.stack([decode(image) for image in images[chosen]]) if decoding else pixels[chosen]
            floats = torch.from_numpy(rows).permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(deviation)
            network(floats).softmax(dim=1).numpy()
            done += batch
    return done / (time.perf_counter() - began)


def _model(network: str) -> ModelArtifact:
    torch.manual_seed(0)
    made = build_network(network, input_shape=_SHAPE, classes=len(_LABELS), allow_code=False)
    return ModelArtifact(
        config={
            "network": describe_network(network),
            "input_shape": list(_SHAPE),
            "labels": _LABELS,
            "preprocessing": {"mean": [0.286], "deviation": [0.353]},
        },
        weights=made.state_dict(),
    )


@contextlib.contextmanager
def _server(port: int, command: Sequence[str], **environment: str) -> Iterator[None]:
    """A program of Python's that listens on ``port``."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not is_listening(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command[:2])} did not start")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    main()
