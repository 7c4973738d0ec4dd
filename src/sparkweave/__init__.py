"""Deep learning on the Spark cluster you already have.

Importing this package loads neither torch nor pyspark; the names below do, when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sparkweave._version import __version__

if TYPE_CHECKING:
    from sparkweave.config import TrainingConfig
    from sparkweave.distributed.network import Network
    from sparkweave.export.mlflow_logger import MLflowLogger
    from sparkweave.export.tensorboard_logger import TensorBoardLogger
    from sparkweave.metrics.evaluation import Evaluation
    from sparkweave.metrics.regression import RegressionEvaluation
    from sparkweave.spark.archives import read_image_archives
    from sparkweave.spark.ml.classifier import TorchClassificationModel, TorchClassifier
    from sparkweave.spark.ml.regressor import TorchRegressionModel, TorchRegressor
    from sparkweave.spark.model import TrainedModel
    from sparkweave.spark.session import build_session
    from sparkweave.spark.trainer import Trainer
    from sparkweave.spark.verification import verify
    from sparkweave.strategies import AllReduce, GradientSharing, ParameterAveraging
    from sparkweave.training.callbacks import Callback, LossLogger
    from sparkweave.training.verification import Verification

_MODULES = {
    "AllReduce": "strategies",
    "Callback": "training.callbacks",
    "Evaluation": "metrics.evaluation",
    "LossLogger": "training.callbacks",
    "MLflowLogger": "export.mlflow_logger",
    "Network": "distributed.network",
    "ParameterAveraging": "strategies",
    "RegressionEvaluation": "metrics.regression",
    "TensorBoardLogger": "export.tensorboard_logger",
    "TorchClassificationModel": "spark.ml.classifier",
    "TorchClassifier": "spark.ml.classifier",
    "TorchRegressionModel": "spark.ml.regressor",
    "TorchRegressor": "spark.ml.regressor",
    "GradientSharing": "strategies",
    "TrainedModel": "spark.model",
    "Trainer": "spark.trainer",
    "TrainingConfig": "config",
    "Verification": "training.verification",
    "build_session": "spark.session",
    "read_image_archives": "spark.archives",
    "verify": "spark.verification",
}

__all__ = [
    "AllReduce",
    "Callback",
    "Evaluation",
    "GradientSharing",
    "LossLogger",
    "MLflowLogger",
    "Network",
    "ParameterAveraging",
    "RegressionEvaluation",
    "TensorBoardLogger",
    "TorchClassificationModel",
    "TorchClassifier",
    "TorchRegressionModel",
    "TorchRegressor",
    "TrainedModel",
    "Trainer",
    "TrainingConfig",
    "Verification",
    "__version__",
    "build_session",
    "read_image_archives",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
