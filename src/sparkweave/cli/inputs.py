"""What can be checked in a second: before Spark starts if it is on the local disk, else as soon as there is a session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sparkweave.filesystem import is_local, local_archives

if TYPE_CHECKING:
    from sparkweave.spark.model import TrainedModel


def check_inputs(*groups: Iterable[str]) -> None:
    """Looks for the archives that local paths, folders and globs stand for.

    Raises:
        DataError: if there is nothing at one of them.
    """
    for path in (path for group in groups for path in group):
        if is_local(path):
            local_archives(path)


def check_local_target(url: str, *, overwrite: bool) -> None:
    """Before Spark starts: raises ArtifactError if something is in the way of a model on the local disk."""
    from sparkweave.artifacts.sealed import check_target

    if is_local(url):
        check_target(url, overwrite=overwrite)


def check_remote_target(url: str, *, overwrite: bool) -> None:
    """With a session: raises ArtifactError if something is in the way of a model elsewhere."""
    from sparkweave.artifacts.sealed import check_target

    if not is_local(url):
        from sparkweave.spark.storage import storage_for

        check_target(url, overwrite=overwrite, storage=storage_for(url))


def load_local_model(url: str, *, allow_code: bool) -> TrainedModel | None:
    """Before Spark starts: the model at ``url``, or None if it is not on the local disk.

    Raises:
        ArtifactError: if there is none, or it is not exactly what was saved.
    """
    from sparkweave import TrainedModel

    return TrainedModel.load(url, allow_code=allow_code) if is_local(url) else None
