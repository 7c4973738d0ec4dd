"""How estimators and models are saved and loaded: Params by Spark, the network as a model that every command takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReader
from pyspark.sql import SparkSession

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.errors import ArtifactError
from sparkweave.filesystem import is_local, local_path
from sparkweave.spark.hadoop import Hadoop
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.runtime import is_connect
from sparkweave.spark.storage import HadoopStorage

if TYPE_CHECKING:
    from sparkweave.spark.ml.base import TorchModel

_ARTIFACT = "model"


class ParamsWriter(DefaultParamsWriter):
    """Saves Params."""

    def _handleOverwrite(self, path: str) -> None:
        if not is_connect(self.sparkSession):
            super()._handleOverwrite(path)
            return
        from pyspark.ml.connect.readwrite import RemoteMLWriter

        RemoteMLWriter.handleOverwrite(path, shouldOverwrite=True)


class ModelWriter(ParamsWriter):
    """Saves Params, and the model in a folder beside them."""

    def __init__(self, instance: TorchModel) -> None:
        super().__init__(instance)
        self._trained = instance.trained

    def _handleOverwrite(self, path: str) -> None:
        _refuse_remote(self.sparkSession, path)
        # What is not here is nowhere, or on a disk of the server's alone, where nothing is to be saved.
        if not is_connect(self.sparkSession) or os.path.lexists(local_path(path)):
            super()._handleOverwrite(path)

    def saveImpl(self, path: str) -> None:
        """Writes both.

        Raises:
            ArtifactError: if that is refused; over Spark Connect also if the server's disk is not this machine's.
        """
        _refuse_remote(self.sparkSession, path)
        super().saveImpl(path)
        url, storage = _place(self.sparkSession, path)
        self._trained.artifact.save(url, storage=storage)


class ModelReader(MLReader[Any]):
    """Loads what `ModelWriter` saved."""

    def __init__(self, cls: type[TorchModel]) -> None:
        super().__init__()
        self._cls = cls

    def load(self, path: str) -> TorchModel:
        """The model at ``path``.

        Raises:
            ArtifactError: if there is none; over Spark Connect also if the server's disk is not this machine's.
        """
        _refuse_remote(self.sparkSession, path)
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        url, storage = _place(self.sparkSession, path)
        kept = metadata["class"].rpartition(".")[2]
        if kept != self._cls.__name__:
            raise ArtifactError(
                f"{path} holds a {kept}; load it with {kept}.load, or by PipelineModel.load in a pipeline"
            )
        model = self._cls(TrainedModel(ModelArtifact.load(url, storage=storage)))
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model


def _refuse_remote(spark: SparkSession, path: str) -> None:
    """Raises ArtifactError before anything is written, where over Spark Connect nothing can be."""
    if is_connect(spark) and not (is_local(path) and os.path.isabs(local_path(path))):
        raise ArtifactError(_not_shared(path))


def _place(spark: SparkSession, path: str) -> tuple[str, Storage]:
    """Where the network is, and by which way; over Spark Connect the Params, which the server wrote, must be on this disk too."""
    if not is_connect(spark):
        storage = HadoopStorage(Hadoop.of(spark.sparkContext))
        return storage.resolve(f"{path}/{_ARTIFACT}"), storage
    folder = local_path(path)
    if not os.path.isdir(f"{folder}/metadata"):
        raise ArtifactError(_not_shared(path))
    return f"{folder}/{_ARTIFACT}", LOCAL


def _not_shared(path: str) -> str:
    return (
        f"{path}: over Spark Connect a model is saved and loaded where the server and this program see the same disk: give the full "
        "path of a folder there. model.trained.save(PATH) keeps the network on this machine's disk alone, and TrainedModel.load reads it"
    )
