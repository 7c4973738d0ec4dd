"""`sparkweave stream` in a session: it ends by itself, or after the batch that runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.streaming_place import Place, png

from sparkweave.cli import main
from sparkweave.spark.streaming.parquet_sink import ParquetSink

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def arguments(place: Place, *more: str) -> list[str]:
    order = place.order()
    named = {"--input": order.input, "--output": order.output, "--checkpoint": order.checkpoint}
    return ["stream", order.model, "--source", "files", *(part for pair in named.items() for part in pair), *more]


def test_what_is_there_is_predicted(spark: SparkSession, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.drop("a.png", png(0))
    place.drop("b.png", b"poison")
    assert main.run(arguments(place, "--available-now", "--json")) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"output": str(place.output), "batches": 1, "images": 2, "bad_images": 1}
    assert "Batch 0: 2 images, 1 of them can't be used (model 000001)" in printed.err


def test_an_output_of_another_checkpoint_is_refused(
    spark: SparkSession, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.run(spark, checkpoint=str(place.folder / "first"))
    assert main.run(arguments(place, "--available-now")) == 6
    assert "belongs to a stream with another checkpoint" in capsys.readouterr().err


FAILING = """
import sys
from pathlib import Path
from sparkweave.cli import main
from sparkweave.spark.streaming.parquet_sink import ParquetSink
from tests.integration.streaming_place import fail_for_now
write = ParquetSink.write
def failing(self, batch_id, rows):
    fail_for_now(Path(sys.argv[1]))
    return write(self, batch_id, rows)
ParquetSink.write = failing
main.main(sys.argv[2:])
"""


def test_a_disk_that_fails_for_a_while_is_one_line(place: Place) -> None:
    place.drop("a.png", png(0))
    # The command of a user, with its JVM's log; a task is tried twice.
    command = [sys.executable, "-c", FAILING, str(place.input / "a.png"), *arguments(place, "--master", "local[1,2]")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    begin, end = (
        f"Error: {place.input}/a.png: can't be read on",
        "once they can read it, or it is removed: this batch is run again",
    )
    assert done.returncode == 4, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith(begin) and line.endswith(end)]
    assert len(done.stderr.splitlines()) == 2, done.stderr


def test_a_signal_ends_it_after_the_batch(
    spark: SparkSession, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = ParquetSink.write
    main_thread = threading.main_thread().ident or 0

    def interrupted(self: ParquetSink, batch_id: int, rows: object) -> object:
        signal.pthread_kill(main_thread, signal.SIGTERM)
        return write(self, batch_id, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(ParquetSink, "write", interrupted)
    place.drop("a.png", png(0))
    place.drop("b.png", png(1))
    assert main.run(arguments(place, "--max-per-batch", "1", "--trigger", "0")) == 0
    said = capsys.readouterr().err
    assert "Predicted 1 images: " in said
    assert "(batches: 1)" in said
    monkeypatch.undo()
    place.run(spark)
    assert set(place.rows(spark)) == {"a.png", "b.png"}
    assert [batch.batch_id for batch in place.batches] == [1]
