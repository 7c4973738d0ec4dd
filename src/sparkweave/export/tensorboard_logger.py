"""A run as TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sparkweave.errors import ConfigError
from sparkweave.events import EpochEnded, Evaluated, Restarted, RunEnded, RunStarted
from sparkweave.export.figures import figures, parameters
from sparkweave.export.quiet import quiet
from sparkweave.extras import require_extra
from sparkweave.filesystem import is_local, local_path
from sparkweave.training.callbacks import Callback

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardLogger(Callback):
    """Writes event files: figures of each epoch and evaluation by epoch (see `sparkweave.export.figures`), and the parameters as text.

    Epochs that a restart or a resumed run tells again replace those that were told before. As a context manager it closes its file
    also where the training fails.

    Example:
        >>> Trainer("lenet", callbacks=[TensorBoardLogger("runs/lenet")]).fit(images)  # doctest: +SKIP
    """

    def __init__(self, directory: str, *, parameters: Mapping[str, object] | None = None) -> None:
        """Opens nothing yet.

        Args:
            directory: Where event files go, on the driver's disk; one folder a run.
            parameters: What else is to be kept of the run, by name.

        Raises:
            ConfigError: if the extra is missing, or the directory isn't local.
        """
        require_extra("tensorboard", "tensorboard", what="a log for TensorBoard")
        if not is_local(directory):
            raise ConfigError(f"the directory for TensorBoard is {directory}; give one on this machine's disk")
        self._directory = local_path(directory)
        self._parameters = dict(parameters or {})
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Writes what there is, and closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def on_run_start(self, event: RunStarted) -> None:
        """See `Callback.on_run_start`."""
        self._open(event.first_epoch)
        rows = [f"| {name} | {value} |" for name, value in parameters(event, self._parameters).items()]
        assert self._writer is not None
        self._writer.add_text("parameters", "\n".join(["| parameter | value |", "| --- | --- |", *rows]))
        self._writer.flush()

    def on_epoch_end(self, event: EpochEnded) -> None:
        """See `Callback.on_epoch_end`."""
        self._write(event)

    def on_evaluation(self, event: Evaluated) -> None:
        """See `Callback.on_evaluation`."""
        self._write(event)

    def on_restart(self, event: Restarted) -> None:
        """See `Callback.on_restart`."""
        self._open(event.epoch + 1)

    def on_run_end(self, event: RunEnded) -> None:
        """See `Callback.on_run_end`."""
        self.close()

    def _open(self, first_epoch: int) -> None:
        """A file from whose beginning on TensorBoard forgets what was told of ``first_epoch`` and later ones."""
        self.close()
        with quiet():
            from torch.utils.tensorboard import SummaryWriter
        try:
            self._writer = SummaryWriter(self._directory, purge_step=first_epoch)
        except OSError as error:
            raise ConfigError(
                f"the directory for TensorBoard, {self._directory}, can't be written to: {error.strerror or error}; "
                "choose another one"
            ) from error

    def _write(self, event: EpochEnded | Evaluated) -> None:
        assert self._writer is not None
        for name, value in figures(event).items():
            self._writer.add_scalar(name, value, event.epoch)
        self._writer.flush()
