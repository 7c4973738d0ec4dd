"""What a saved model, or a run's folder of checkpoints, tells of the run that made it; weights are not looked at."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from sparkweave.artifacts import checkpoint, swap
from sparkweave.artifacts.sealed import is_sealed, read_sealed
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.artifacts.zipped import ENDING
from sparkweave.errors import ArtifactError

_CONFIG, _HISTORY, _EVALUATION = "config.json", "history.json", "evaluation.json"
_REMEDY = "it was not saved by this version of sparkweave, or not by a run"
_WHAT = "a saved model (a folder or a .zip), or a run's folder of checkpoints"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run as it was saved.

    Attributes:
        history: Event records (`sparkweave.events.to_record`), not checked.
        options: What the run was asked to do, and what its images were like; empty where it wasn't saved.
        versions: Of Python and packages, by name; empty for a checkpoint.
        epoch: Of the checkpoint; None for a model.
        evaluation: On the test images (`sparkweave.metrics.document.to_document`), not checked; None where it wasn't saved.
        class_names: Class name by label.
    """

    history: list[Any]
    options: Mapping[str, Any]
    versions: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    epoch: int | None = None
    evaluation: Mapping[str, Any] | None = None
    class_names: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def read_run_record(url: str, *, storage: Storage = LOCAL) -> RunRecord:
    """The record at ``url``: of a model, or of the newest whole one of a folder of checkpoints.

    Raises:
        ArtifactError: if there is neither, or it is damaged.
    """
    try:
        path = storage.resolve(url)
        place = swap.found(path, storage)
        if place is None:
            raise _nothing(url, path, storage)
        if place.endswith(ENDING) or is_sealed(place, storage=storage):
            return _sealed(url, path, storage)
        found = checkpoint.newest(path, storage=storage)
    except OSError as error:
        raise ArtifactError(f"{url} can't be read: {error.strerror or error}; check its permissions") from error
    if found is None:
        raise ArtifactError(f"{url} is no run; give {_WHAT}")
    return _of_checkpoint(url, found.epoch, found.blobs)


def _sealed(url: str, path: str, storage: Storage) -> RunRecord:
    """A model, or one checkpoint."""
    epoch = checkpoint.epoch_of(os.path.basename(path))
    if epoch is not None:
        return _of_checkpoint(url, epoch, read_sealed(path, kind=checkpoint.KIND, storage=storage))
    blobs = read_sealed(path, kind="model", storage=storage)
    config = _parsed(blobs, _CONFIG, dict, url)
    options, versions = (_mapping(config.get(name)) for name in ("training", "versions"))
    return RunRecord(
        history=_parsed(blobs, _HISTORY, list, url),
        options={"network": config.get("network"), **options},
        versions=versions,
        evaluation=_parsed(blobs, _EVALUATION, dict, url) if _EVALUATION in blobs else None,
        class_names=_mapping(config.get("class_names")),
    )


def _of_checkpoint(url: str, epoch: int, blobs: Mapping[str, bytes]) -> RunRecord:
    options = _parsed(blobs, checkpoint.RUN, dict, url)
    return RunRecord(history=_parsed(blobs, _HISTORY, list, url), options=options, epoch=epoch)


def _nothing(url: str, path: str, storage: Storage) -> ArtifactError:
    """The error that nothing is there, with what is beside it."""
    beside = path.removesuffix(ENDING) + ".checkpoints"
    if storage.kind(beside) == "folder":
        return ArtifactError(
            f"{url}: nothing is here yet, but the run that is to write it has checkpoints: give {beside}"
        )
    return ArtifactError(f"{url}: nothing is here; give {_WHAT}")


def _parsed(blobs: Mapping[str, bytes], name: str, form: type, url: str) -> Any:
    try:
        value = json.loads(blobs.get(name, b""))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{url}: {name} is missing, or not JSON; {_REMEDY}") from error
    if not isinstance(value, form):
        raise ArtifactError(f"{url}: {name} holds a {type(value).__name__}, not a {form.__name__}; {_REMEDY}")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
