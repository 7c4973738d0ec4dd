"""A run in MLflow: parameters, figures of each epoch, and the model."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.errors import ArtifactError, ConfigError
from sparkweave.events import EpochEnded, Evaluated, RunEnded, RunStarted
from sparkweave.export.figures import figures, parameters
from sparkweave.export.outbox import Outbox
from sparkweave.export.quiet import quiet
from sparkweave.extras import require_extra
from sparkweave.training.callbacks import Callback

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_LOG = logging.getLogger(__name__)
_LONGEST_VALUE = 500
_MOST_PARAMETERS_A_CALL = 100
_PATIENCE_SECONDS = 5.0
# MLflow's own settings: its client tries seven times for four minutes, or a quarter of an hour where nothing refuses the connection.
_ONE_MORE_TRY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


class HasArtifact(Protocol):
    """Such as `TrainedModel`."""

    artifact: ModelArtifact


class MLflowLogger(Callback):
    """Keeps a run in MLflow: parameters, figures of each epoch and evaluation (see `sparkweave.export.figures`), the model.

    Use it as a context manager around the training: then MLflow's run ends with the context, as FINISHED, as FAILED if an
    exception leaves it, or as KILLED if that is an interrupt. Without a context it ends with the training, and a training that fails
    leaves it as RUNNING. What goes wrong with MLflow while the network trains is a warning: it doesn't end the training, and doesn't hold it up,
    as a thread tells MLflow. While it doesn't answer, what it is to be told waits, up to 1,000 epochs or evaluations; at the training's beginning and
    end it has 5 s for each answer.

    Attributes:
        run_id: Of MLflow's run, once the training has started; None while MLflow does not answer.

    Example:
        >>> with MLflowLogger("http://localhost:5000", experiment="digits") as logger:  # doctest: +SKIP
        ...     model = Trainer("lenet", callbacks=[logger]).fit(images)
        ...     logger.log_model(model)
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str | None = None,
        run_name: str | None = None,
        *,
        parameters: Mapping[str, object] | None = None,
    ) -> None:
        """Looks for the experiment, and makes it if there is none; no run is made yet.

        Args:
            tracking_uri: Of MLflow; None takes what MLflow's own settings say.
            experiment: Its name; None takes what MLflow's settings say, or ``Default``.
            run_name: None lets MLflow make one up.
            parameters: What else is to be kept of the run, by name, such as the fields of a `TrainingConfig`.

        Raises:
            ConfigError: if the extra is missing, or MLflow isn't there.
        """
        require_extra("mlflow", "mlflow", what="a log for MLflow")
        self._run: _Run | None = None
        self._run_name = run_name
        self._parameters = dict(parameters or {})
        self._in_context = False
        with quiet():
            import mlflow
        self._uri = tracking_uri or mlflow.get_tracking_uri()
        self._outbox = Outbox("MLflow")
        try:
            with quiet(), _impatient():
                self._client: MlflowClient = mlflow.MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
                self._experiment = _experiment(self._client, experiment or _default_experiment())
        except Exception as error:
            raise ConfigError(
                f"MLflow at {self._uri} can't be used: {_first_line(error)}. Give the URI of a tracking server, such as http://HOST:5000;"
                " sqlite: needs the whole of MLflow (pip install mlflow)"
            ) from error

    def __enter__(self) -> Self:
        self._in_context = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_context = False
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self._end("FINISHED" if kind is None else "KILLED" if interrupted else "FAILED")

    @property
    def run_id(self) -> str | None:
        """See the class."""
        return None if self._run is None else self._run.id

    def on_run_start(self, event: RunStarted) -> None:
        """See `Callback.on_run_start`."""
        known = parameters(event, self._parameters)
        self._run = _Run(self._client, self._experiment, self._run_name, known)
        self._outbox.put(self._run.begin)
        self._wait()

    def on_epoch_end(self, event: EpochEnded) -> None:
        """See `Callback.on_epoch_end`."""
        self._log(event)

    def on_evaluation(self, event: Evaluated) -> None:
        """See `Callback.on_evaluation`."""
        self._log(event)

    def on_run_end(self, event: RunEnded) -> None:
        """See `Callback.on_run_end`."""
        if not self._in_context:
            self._end("FINISHED")

    def log_model(self, model: HasArtifact, *, name: str = "model") -> str:
        """Keeps a trained model with the run, as the flavour `pyfunc`; see `sparkweave.export.pyfunc`.

        Args:
            model: What `Trainer.fit` returned.
            name: Under which MLflow shows it.

        Returns:
            The URI that `mlflow.pyfunc.load_model` takes.

        Raises:
            ArtifactError: if MLflow does not take it.
        """
        try:
            with quiet(), _impatient():
                self._client.get_experiment(self._experiment)  # is it there at all?
            self._outbox.wait(_PATIENCE_SECONDS)  # MLflow keeps the run's figures with the model
            with tempfile.TemporaryDirectory() as folder, self._as_default(), quiet():
                path = os.path.join(folder, "model.zip")
                model.artifact.save(path, save_optimizer=False)
                return _logged(model.artifact, path, name=name, run_id=self.run_id)
        except Exception as error:
            raise ArtifactError(
                f"MLflow at {self._uri} did not take the model: {_first_line(error)}; it can be logged again, with"
                " mlflow.pyfunc.log_model and sparkweave.export.pyfunc.pyfunc_options"
            ) from error

    @contextlib.contextmanager
    def _as_default(self) -> Iterator[None]:
        """MLflow logs models only to the URI that holds for the whole process."""
        import mlflow

        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self._uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)

    def _log(self, event: EpochEnded | Evaluated) -> None:
        from mlflow.entities import Metric

        assert self._run is not None
        now = _milliseconds()
        metrics = [Metric(name, value, now, event.epoch) for name, value in figures(event).items()]
        self._outbox.put(functools.partial(self._run.log, metrics=metrics))

    def _end(self, status: str) -> None:
        if self._run is not None:
            self._outbox.put(functools.partial(self._run.end, status, _milliseconds()))
            self._wait()

    def _wait(self) -> None:
        if not self._outbox.wait(_PATIENCE_SECONDS):
            _LOG.warning(
                "MLflow at %s does not answer; this goes on without it, and it is told what it missed if it comes back before this process ends",
                self._uri,
            )


class _Run:
    """MLflow's run of one training; whichever call reaches MLflow first makes it."""

    def __init__(self, client: MlflowClient, experiment: str, name: str | None, known: Mapping[str, str]) -> None:
        self.id: str | None = None
        self._client, self._experiment, self._name, self._known = client, experiment, name, known
        self._start = _milliseconds()

    def begin(self) -> str:
        from mlflow.entities import Param

        if self.id is None:
            run = self._client.create_run(self._experiment, start_time=self._start, run_name=self._name)
            self.id = run.info.run_id
            params = [Param(name, value[:_LONGEST_VALUE]) for name, value in self._known.items()]
            for start in range(0, len(params), _MOST_PARAMETERS_A_CALL):
                self._client.log_batch(self.id, params=params[start : start + _MOST_PARAMETERS_A_CALL])
        return self.id

    def log(self, *, metrics: list[Metric]) -> None:
        self._client.log_batch(self.begin(), metrics=metrics)

    def end(self, status: str, when: int) -> None:
        self._client.set_terminated(self.begin(), status, when)


def _logged(artifact: ModelArtifact, path: str, *, name: str, run_id: str | None) -> str:
    """The URI of a model that was logged to the process's MLflow."""
    import mlflow.pyfunc
    from mlflow.models import Model

    from sparkweave.export.pyfunc import pyfunc_options

    options = pyfunc_options(artifact, path)
    logged: Any = Model.log(artifact_path=None, name=name, flavor=mlflow.pyfunc, run_id=run_id, **options)
    return str(logged.model_uri)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    experiment: str = client.create_experiment(name) if found is None else found.experiment_id
    return experiment


def _default_experiment() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"


def _milliseconds() -> int:
    return int(time.time() * 1000)


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """For calls that somebody waits for; what the user has set stands."""
    added = {name: value for name, value in _ONE_MORE_TRY.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
