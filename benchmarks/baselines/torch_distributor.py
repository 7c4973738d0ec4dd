"""The same training by PySpark's own TorchDistributor: DistributedDataParallel in two Spark tasks, a thread each.

Each task reads its own half of the ZIP with Pillow, which is kinder than having both read all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_ROOT = str(Path(__file__).resolve().parents[2])


def train(train_path: str, test_path: str, output: str, epochs: int, batch_size: int, seed: int) -> dict[str, Any]:
    """One rank of the gang; rank 0 evaluates and saves. Imports are inside: it travels as a pickled function."""
    import torch
    import torch.distributed as dist
    from torch.nn import functional as F
    from torch.nn.parallel import DistributedDataParallel

    from benchmarks.baselines.plain_pytorch import accuracy, batches, lenet, read_archive

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    began = time.perf_counter()
    images, labels = read_archive(train_path, rank, world)
    moments = torch.stack([images.mean(), (images**2).mean()])
    dist.all_reduce(moments)
    mean, square = (moments / world).tolist()
    deviation = (square - mean**2) ** 0.5
    images = (images - mean) / deviation
    read = time.perf_counter()
    torch.manual_seed(seed)
    model = DistributedDataParallel(lenet())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    torch.manual_seed(seed + 1 + rank)
    for _ in range(epochs):
        for x, y in batches(images, labels, batch_size, loader=False):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
    trained = time.perf_counter()
    result = 0.0
    if rank == 0:
        test_images, test_labels = read_archive(test_path)
        result = accuracy(model.module, (test_images - mean) / deviation, test_labels)
        torch.save(model.module.state_dict(), output)
    dist.barrier()
    dist.destroy_process_group()
    return {"accuracy": result, "reading": read - began, "training": trained - read}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    from pyspark.ml.torch.distributor import TorchDistributor
    from pyspark.sql import SparkSession

    from sparkweave.spark.java import find_java, launch_environment

    os.environ.update(launch_environment(find_java()))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    spark = SparkSession.builder.master("local[2]").getOrCreate()
    result = TorchDistributor(num_processes=2, local_mode=False, use_gpu=False).run(
        train, options.train, options.test, options.output, options.epochs, options.batch_size, options.seed
    )
    spark.stop()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
