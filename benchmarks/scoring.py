"""Batch scoring on two cores, all stages counted from the archive on: Spark's tasks against an offline PyTorch loop.

Every way reads the archive, decodes, predicts with LeNet, and counts the predictions by class; the Spark session is started.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from benchmarks.command import heading, journal, parser, settings
from benchmarks.comparison import HEADER, compare, say, table
from benchmarks.images import smaller
from sparkweave import TrainedModel, build_session, read_image_archives
from sparkweave.artifacts.model import ModelArtifact
from sparkweave.networks import build_network, describe_network

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LABELS = [str(number) for number in range(10)]
SHAPE = (1, 28, 28)
MEAN, DEVIATION = 0.286, 0.353
BATCH = 256
_CORES = 2


def main() -> None:
    arguments = parser("scoring", __doc__, rounds=5)
    arguments.add_argument("--network", default="lenet")
    options = arguments.parse_args()
    log = journal(options)
    print(heading("Batch scoring", options), flush=True)
    with tempfile.TemporaryDirectory(prefix="sparkweave-benchmark-") as folder:
        archive = str(smaller(options.data / "train.zip", options.images, Path(folder)))
        artifact = make_artifact(options.network)
        spark = build_session(f"local[{_CORES}]")
        torch.set_num_threads(_CORES)
        ways: dict[str, Callable[[], npt.NDArray[np.int64]]] = {
            "sparkweave": partial(by_sparkweave, spark, TrainedModel(artifact), archive),
            "offline loop": partial(offline, artifact, archive),
            "pandas_udf": partial(by_pandas_udf, spark, artifact, archive),
            "predict_batch_udf": partial(by_predict_batch_udf, spark, artifact, archive),
        }
        counts = {name: way() for name, way in ways.items()}  # warms up, too
        say(", ".join(f"{name}: {count.tolist()}" for name, count in counts.items()))
        lines = []
        for name, target in (("offline loop", ">= 0.9"), ("pandas_udf", ""), ("predict_batch_udf", "")):
            made = compare(
                f"sparkweave against {name}",
                partial(_speed, ways["sparkweave"]),
                partial(_speed, ways[name]),
                rounds=options.rounds,
                journal=log,
                settings=settings(options),
                target=target,
            )
            lines.append(made.cells())
        spark.stop()
    print("Images a second:\n")
    print(table(HEADER, lines), flush=True)


def _speed(way: Callable[[], npt.NDArray[np.int64]]) -> float:
    began = time.perf_counter()
    count = way().sum()
    return float(count / (time.perf_counter() - began))


def make_artifact(network: str) -> ModelArtifact:
    """A model whose weights are the first ones: what it predicts costs as much."""
    torch.manual_seed(0)
    made = build_network(network, input_shape=SHAPE, classes=len(LABELS), allow_code=False)
    config = {
        "network": describe_network(network),
        "input_shape": list(SHAPE),
        "labels": LABELS,
        "preprocessing": {"mean": [MEAN], "deviation": [DEVIATION]},
    }
    return ModelArtifact(config=config, weights=made.state_dict())


def by_sparkweave(spark: SparkSession, model: TrainedModel, archive: str) -> npt.NDArray[np.int64]:
    """What `sparkweave predict` does."""
    rows = model.transform(read_image_archives(spark, archive)).groupBy("prediction").count().collect()
    return _counts({row["prediction"]: row["count"] for row in rows})


def offline(artifact: ModelArtifact, archive: str) -> npt.NDArray[np.int64]:
    """One process, as many threads as there are cores."""
    network = ready_network(artifact.config["network"], artifact.weights)
    found = np.zeros(len(LABELS), np.int64)
    with ZipFile(archive) as file:
        names = file.namelist()
        for start in range(0, len(names), BATCH):
            pixels = np.stack([_decoded(file.read(name)) for name in names[start : start + BATCH]])
            best = predict(network, pixels).argmax(axis=1)
            found += np.bincount(best, minlength=len(LABELS))
    return found


def by_pandas_udf(spark: SparkSession, artifact: ModelArtifact, archive: str) -> npt.NDArray[np.int64]:
    """What a user of Spark writes without more help."""
    from pyspark.sql.functions import pandas_udf

    weights = spark.sparkContext.broadcast(dict(artifact.weights))
    description = artifact.config["network"]

    @pandas_udf("string")
    def predicted(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        torch.set_num_threads(1)
        network = ready_network(description, weights.value)
        for contents in batches:
            best = [
                predict(network, np.stack([_decoded(content) for content in contents[start : start + BATCH]])).argmax(1)
                for start in range(0, len(contents), BATCH)
            ]
            yield pd.Series([LABELS[index] for index in np.concatenate(best)])

    rows = _contents(spark, archive).select(predicted("content").alias("label")).groupBy("label").count().collect()
    return _counts({row["label"]: row["count"] for row in rows})


def by_predict_batch_udf(spark: SparkSession, artifact: ModelArtifact, archive: str) -> npt.NDArray[np.int64]:
    """Spark's own helper for networks, behind a UDF that decodes."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import functions as F
    from pyspark.sql.functions import pandas_udf
    from pyspark.sql.types import ArrayType, FloatType

    weights = spark.sparkContext.broadcast(dict(artifact.weights))
    description = artifact.config["network"]

    @pandas_udf("array<tinyint>")
    def decoded(contents: pd.Series) -> pd.Series:
        return contents.map(lambda content: _decoded(content).view(np.int8).ravel())

    def make() -> Callable[[Any], Any]:
        torch.set_num_threads(1)
        network = ready_network(description, weights.value)
        return lambda inputs: predict(network, inputs.astype(np.int8).view(np.uint8).reshape(-1, 28, 28, 1))

    scored = predict_batch_udf(
        make, return_type=ArrayType(FloatType()), batch_size=BATCH, input_tensor_shapes=[[28 * 28]]
    )
    outputs = _contents(spark, archive).select(scored(decoded("content")).alias("output"))
    best = F.array_position("output", F.array_max("output")).alias("best")
    rows = outputs.select(best).groupBy("best").count().collect()
    return _counts({str(row["best"] - 1): row["count"] for row in rows})


def _contents(spark: SparkSession, archive: str) -> Any:
    """An archive is one split of Spark's reader, so its entries are spread before they are decoded."""
    files = spark.read.format("binaryFile").option("wholeFile", "false").load(archive)
    return files.select("content").repartition(_CORES)


def ready_network(description: Any, weights: Any) -> torch.nn.Module:
    """Ready to predict."""
    network = build_network(description, input_shape=SHAPE, classes=len(LABELS), allow_code=False)
    network.load_state_dict(dict(weights))
    cv2.setNumThreads(1)
    ready: torch.nn.Module = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return ready


def _decoded(content: bytes) -> npt.NDArray[np.uint8]:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)[:, :, None]  # type: ignore[index,return-value]


def predict(network: torch.nn.Module, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Probabilities of uint8 (N, H, W, C)."""
    with torch.inference_mode():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255).sub_(MEAN).div_(DEVIATION)
        outputs: npt.NDArray[np.float32] = network(images).softmax(dim=1).numpy()
    return outputs


def _counts(found: dict[str, int]) -> npt.NDArray[np.int64]:
    return np.array([found.get(label, 0) for label in LABELS], np.int64)


if __name__ == "__main__":
    main()
