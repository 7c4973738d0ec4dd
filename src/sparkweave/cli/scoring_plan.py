"""The memory of a submitted command that trains nothing: planned from its model, and told rather than refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sparkweave.cli.console import say
from sparkweave.cli.plan import overheads_added, refuse_contradictions
from sparkweave.deploy.memory_size import MIB
from sparkweave.errors import ArtifactError, SparkweaveError
from sparkweave.filesystem import HdfsFileSystem, LocalFileSystem, is_local

if TYPE_CHECKING:
    from sparkweave.serving.registry import Version

_CHEAP_BYTES = 128 * MIB
_UNKNOWN_BYTES, _UNKNOWN_SHAPE = 256 * MIB, (3, 64, 64)
_UNREADABLE = (SparkweaveError, OSError, RuntimeError, ValueError)


def scoring_settings(options: Mapping[str, Any], settings: Mapping[str, str], *, executors: int) -> dict[str, str]:
    """The overheads that the command needs and ``settings`` leave out. What is given and too small is told on stderr.

    Args:
        options: Of the command; its ``model``, if it has one, is looked at.
        settings: Spark's, as far as they are known.
        executors: How many are asked for.

    Raises:
        ResourceError: if no task could start.
    """
    from sparkweave.deploy.memory_plan import MemoryPlan
    from sparkweave.deploy.scoring_load import scoring_load
    from sparkweave.inference.predictor import BATCH_ROWS
    from sparkweave.spark.memory import containers_of

    model_bytes, shape = _model(options["model"]) if options.get("model") else (0, (0, 0, 0))
    containers = dataclasses.replace(containers_of(settings), max_result_size=0)  # nothing large comes back
    load = scoring_load(
        model_bytes=model_bytes, shape=shape, workers=executors * containers.slots, batch_rows=BATCH_ROWS
    )
    asked = MemoryPlan(load, containers)
    refuse_contradictions(asked.misfits())
    filled = asked.with_overheads()
    for finding in filled.findings():
        say(f"Warning: {finding}")
    return overheads_added(asked, filled)


def _model(url: str) -> tuple[int, tuple[int, ...]]:
    """Bytes of the weights and the shape of an input; of a folder of versions, the newest one's."""
    from sparkweave.artifacts.model import ModelArtifact
    from sparkweave.serving.opening import storage_at
    from sparkweave.serving.registry import Registry, is_registry

    try:
        storage = storage_at(url)
        if is_registry(url, storage):
            url = _newest(url, Registry(url, storage=storage).versions())
        artifact = ModelArtifact.load(url, storage=storage, max_bytes=_CHEAP_BYTES)
    except _UNREADABLE as error:
        size = max(_UNKNOWN_BYTES, _length(url))
        reason = (str(error).splitlines() or [type(error).__name__])[0].partition(";")[0]
        say(f"The model isn't looked at from here ({reason}): memory for {size // MIB:,} MiB of weights is planned")
        return size, _UNKNOWN_SHAPE
    weights = sum(tensor.numel() * tensor.element_size() for tensor in artifact.weights.values())
    return weights, tuple(artifact.config["input_shape"])


def _newest(url: str, versions: Sequence[Version]) -> str:
    if not versions:
        raise ArtifactError(f"{url} has no version yet")
    return f"{url.rstrip('/')}/{versions[-1].file}"


def _length(url: str) -> int:
    """Of a model that is one file, where it can be asked for."""
    try:
        return (LocalFileSystem() if is_local(url) else HdfsFileSystem()).size(url)
    except _UNREADABLE:
        return 0
