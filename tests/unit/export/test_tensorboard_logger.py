"""Event files, read back as TensorBoard reads them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.unit.export.runs import ENDED, epoch, evaluated, restarted, started

from sparkweave.errors import ConfigError
from sparkweave.events import Event
from sparkweave.export.tensorboard_logger import TensorBoardLogger
from sparkweave.training.callbacks import dispatch


def log(directory: Path, *events: Event) -> EventAccumulator:
    logger = TensorBoardLogger(str(directory), parameters={"batch_size": 50})
    with logger:
        for event in events:
            dispatch([logger], event)
    return read(directory)


def read(directory: Path) -> EventAccumulator:
    found = EventAccumulator(str(directory))
    found.Reload()
    return found


def scalars(found: EventAccumulator, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in found.Scalars(name)]


def test_figures_stand_at_their_epochs(tmp_path: Path) -> None:
    found = log(tmp_path, started(), epoch(1), epoch(2), evaluated(2), ENDED)
    assert scalars(found, "train/loss") == [(1, 1.0), (2, 0.5)]
    assert scalars(found, "test/loss") == [(2, pytest.approx(0.4))]
    assert "test/accuracy" not in found.Tags()["scalars"], "it is not a number"
    assert {"train/accuracy", "train/images_per_second", "train/learning_rate"} <= set(found.Tags()["scalars"])


def test_parameters_are_a_table(tmp_path: Path) -> None:
    found = log(tmp_path, started(), ENDED)
    (event,) = found.Tensors("parameters/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert "| batch_size | 50 |" in text
    assert "| network | lenet |" in text


def test_an_epoch_that_is_told_again_replaces_what_was_told(tmp_path: Path) -> None:
    again = epoch(2, loss=0.25)
    found = log(tmp_path, started(), epoch(1), epoch(2), restarted(1), again, ENDED)
    assert scalars(found, "train/loss") == [(1, 1.0), (2, 0.25)]


def test_a_resumed_run_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    log(tmp_path, started(), epoch(1), epoch(2))
    found = log(tmp_path, started(first_epoch=2), epoch(2, loss=0.25), ENDED)
    assert scalars(found, "train/loss") == [(1, 1.0), (2, 0.25)]


def test_figures_can_be_read_while_the_training_goes_on(tmp_path: Path) -> None:
    with TensorBoardLogger(str(tmp_path)) as logger:
        logger.on_run_start(started())
        logger.on_epoch_end(epoch(1))
        assert scalars(read(tmp_path), "train/loss") == [(1, 1.0)]


def test_the_end_of_the_run_closes_the_file(tmp_path: Path) -> None:
    before = threading.active_count()
    logger = TensorBoardLogger(str(tmp_path))
    logger.on_run_start(started())
    assert threading.active_count() > before
    logger.on_run_end(ENDED)
    assert threading.active_count() == before


def test_nothing_is_written_before_the_run_starts(tmp_path: Path) -> None:
    with TensorBoardLogger(str(tmp_path / "runs")):
        pass
    assert not (tmp_path / "runs").exists()


def test_a_directory_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be written to"):
        TensorBoardLogger(str(tmp_path / "file")).on_run_start(started())


def test_a_directory_elsewhere_is_refused() -> None:
    with pytest.raises(ConfigError, match="give one on this machine's disk"):
        TensorBoardLogger("hdfs://nn/runs")


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'sparkweave\[tensorboard\]'"):
        TensorBoardLogger("runs")
