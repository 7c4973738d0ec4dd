"""The command as a process of its own: its streams, its exit codes, its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparkweave.testing.archives import write_image_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "train.zip"
    write_image_archive(path, labels=("0", "1"), images_per_label=20)
    return str(path)


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sparkweave", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def descendants(pid: int) -> list[int]:
    """The processes that ``pid`` started, and theirs; none where there is no /proc."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()
    ]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def test_a_quiet_run(archive: str, tmp_path: Path) -> None:
    output = str(tmp_path / "model")
    process = start(
        "train", archive, "--test", archive, "--output", output, "--master", "local[2]", "--epochs", "2", "--batch-size", "10",
        "--json",
    )  # fmt: skip
    out, err = process.communicate()
    assert process.returncode == 0, err
    document = json.loads(out)
    assert document["evaluation"]["examples"] == 40
    for word in ("WARN", "log4j", "incubator", "Warning", "Traceback"):
        assert word not in err, err
    assert "epoch 2/2: loss " in err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(archive: str, tmp_path: Path, number: signal.Signals) -> None:
    arguments = ["--master", "local[2]", "--epochs", "100000", "--batch-size", "10", "--workers", "2"]
    process = start("train", archive, "--output", str(tmp_path / "model"), *arguments)
    assert process.stderr is not None
    line = next(line for line in process.stderr if line.startswith("epoch 1/"))
    assert "loss" in line
    family = descendants(process.pid)
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert err.endswith("Interrupted.\n")
    # A Python worker that pyspark forked may still report its broken pipe; nothing of this program or of py4j does.
    assert "py4j" not in err
    assert "/sparkweave/" not in err
    assert "Running again" not in err
    while any(Path(f"/proc/{pid}").exists() for pid in family):
        assert time.monotonic() - began < 15, f"still running: {family}"
        time.sleep(0.1)
    assert not (tmp_path / "model").exists()
