"""The tools that a training is told to: their options, and the loggers that these stand for."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sparkweave.cli.interrupts import interrupts_raised
from sparkweave.cli.options import Command, option
from sparkweave.config import TrainingConfig
from sparkweave.errors import ConfigError

if TYPE_CHECKING:
    from sparkweave import MLflowLogger, TensorBoardLogger
    from sparkweave.strategies import Strategy


def logging_options(command: Command) -> Command:
    """Adds them to a command."""
    added = [
        option("--tensorboard", metavar="DIR", help="Write TensorBoard's event files there, on the driver's disk."),
        option("--mlflow", metavar="URI", help="Keep the run and its model in MLflow, such as http://HOST:5000."),
        option("--mlflow-experiment", metavar="NAME", help="MLflow's experiment; without it as MLflow is set up."),
    ]
    decorated: Command = functools.reduce(lambda inner, add: add(inner), reversed(added), command)
    return decorated


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loggers:
    """Of one run."""

    tensorboard: TensorBoardLogger | None = None
    mlflow: MLflowLogger | None = None

    @classmethod
    def of(cls, options: dict[str, Any], config: TrainingConfig, strategy: Strategy) -> Loggers:
        """Those that a command's options ask for.

        Raises:
            ConfigError: if an extra is missing, or an option breaks its rule.
        """
        if options["mlflow_experiment"] and not options["mlflow"]:
            raise ConfigError("--mlflow-experiment is given, and --mlflow is not; say where MLflow is (--mlflow URI)")
        chosen: dict[str, Any] = dataclasses.asdict(strategy)  # type: ignore[call-overload]
        known = {**dataclasses.asdict(config), **{f"strategy.{name}": value for name, value in chosen.items()}}
        return cls(
            tensorboard=_tensorboard(options["tensorboard"], known) if options["tensorboard"] else None,
            mlflow=_mlflow(options["mlflow"], options["mlflow_experiment"], known) if options["mlflow"] else None,
        )

    def __iter__(self) -> Iterator[TensorBoardLogger | MLflowLogger]:
        return (logger for logger in (self.tensorboard, self.mlflow) if logger is not None)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """A context to train in: the loggers are told how it ended."""
        with contextlib.ExitStack() as stack:
            for logger in self:
                stack.enter_context(logger)
            stack.enter_context(interrupts_raised())
            yield


def _tensorboard(directory: str, parameters: dict[str, Any]) -> TensorBoardLogger:
    from sparkweave import TensorBoardLogger

    return TensorBoardLogger(directory, parameters=parameters)


def _mlflow(uri: str, experiment: str | None, parameters: dict[str, Any]) -> MLflowLogger:
    from sparkweave import MLflowLogger

    return MLflowLogger(uri, experiment, parameters=parameters)
