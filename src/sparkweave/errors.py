"""The errors a caller can meet. Each message says what was received, the rule, and what to do.

::

    SparkweaveError            exit code 1
    ├── ConfigError            2   an option, a network file, a configuration file
    ├── DataError              3   the images a run was given
    │   ├── ArchiveError           a ZIP archive as a whole, or one entry of it
    │   ├── ImageError             one image's bytes
    │   └── LabelError             names without a label, labels without a class
    ├── ResourceError          4   slots, memory, disk, settings of the cluster
    ├── TrainingError          5   a segment failed and was not, or could not be, run again
    │   ├── WorkerError            the first failing worker: rank, host, step, cause
    │   └── CollectiveError        a peer fell silent or closed its connection
    │       └── UnreachableError   workers that can't connect to each other
    └── ArtifactError          6   a model, a checkpoint or an output path
"""

from __future__ import annotations


class SparkweaveError(Exception):
    """Base of every error that a user can mend; the command line prints its message alone."""

    exit_code = 1


class ConfigError(SparkweaveError):
    """An option or a file of options breaks its rule."""

    exit_code = 2


class DataError(SparkweaveError):
    """The input images can't be used as they are."""

    exit_code = 3


class ArchiveError(DataError):
    """A ZIP archive, or an entry of it, is damaged, encrypted or over a limit."""


class ImageError(DataError):
    """Bytes that are not a whole PNG or JPEG image within the limits."""


class LabelError(DataError):
    """A file name without a label, or a label without a class."""


class ResourceError(SparkweaveError):
    """The session, the cluster or the disk can't give what the run needs."""

    exit_code = 4


class TrainingError(SparkweaveError):
    """Training stopped and won't be tried again."""

    exit_code = 5


class CollectiveError(TrainingError):
    """A collective operation failed: a peer is silent, or its connection closed."""


class UnreachableError(CollectiveError):
    """Workers can't connect to each other."""


class WorkerError(TrainingError):
    """A worker failed; the first one to fail is the one reported.

    Attributes:
        rank: The failing worker, or None where no worker could be blamed.
        step: Its step within the run when it failed, or None before the first.
    """

    def __init__(self, message: str, *, rank: int | None = None, step: int | None = None) -> None:
        super().__init__(message)
        self.rank = rank
        self.step = step


class ArtifactError(SparkweaveError):
    """A model or checkpoint is missing, damaged, or in the way of a new one."""

    exit_code = 6
