"""The running environment, really packed, unpacked elsewhere, and used where there is nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sparkweave.deploy.archive import digest
from sparkweave.deploy.pack import METADATA, PROGRAM, Order, pack, read_metadata

# Quick to pack: the interpreter, its libraries, sparkweave, and little else.
HEAVY = ("hdfs-native", "numpy", "opencv-python-headless", "pandas", "pyarrow", "torch")

TRAINING = """
import json, sys
import cv2, numpy, pyarrow, torch
from sparkweave.networks.build import build_network
import sparkweave.distributed.torch_collective, sparkweave.training.loop

image = cv2.imdecode(cv2.imencode(".png", numpy.full((28, 28), 7, "uint8"))[1], cv2.IMREAD_GRAYSCALE)
pixels = torch.tensor(numpy.stack([image] * 8))[:, None].float()
network = build_network("lenet", input_shape=(1, 28, 28), classes=3, allow_code=False)
optimizer = torch.optim.Adam(network.parameters())
loss = torch.nn.functional.cross_entropy(network(pixels), torch.arange(8) % 3)
loss.backward()
optimizer.step()
print(json.dumps({
    "loss": loss.item(), "rows": len(pyarrow.array([1, 2])), "files": [m.__file__ for m in (torch, cv2, pyarrow)],
    "pyspark": __import__("importlib.util").util.find_spec("pyspark") is not None,
    "environment": dict(__import__("os").environ), "prefix": sys.prefix, "gpus": torch.cuda.device_count(),
}))
"""


def run_alone(environment: Path, code: str) -> str:
    """What the interpreter of an environment prints, with no variable set, so no PATH either."""
    command = ["/usr/bin/env", "-i", str(environment / PROGRAM), "-B", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(packed_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked in one place, and moved to another since."""
    first = tmp_path_factory.mktemp("first") / "environment"
    first.mkdir()
    subprocess.run(["tar", "xzf", packed_environment, "-C", first], check=True)
    return first.rename(tmp_path_factory.mktemp("second") / "moved here")


def test_a_training_step_needs_nothing_else(unpacked: Path) -> None:
    report = json.loads(run_alone(unpacked, TRAINING))
    assert report["loss"] > 0
    assert report["rows"] == 2
    assert report["gpus"] == 0
    assert not report["pyspark"]
    assert "PATH" not in report["environment"]
    assert report["prefix"] == str(unpacked)
    assert all(Path(file).is_relative_to(unpacked) for file in report["files"])


def test_it_works_through_a_link_as_yarn_makes_one(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "environment").symlink_to(unpacked)
    done = subprocess.run(
        ["./environment/bin/python3", "-c", "import torch, sys; print(sys.flags.isolated, torch.ones(2).sum().item())"],
        cwd=tmp_path, env={}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "0 2.0\n"


def test_it_is_described_and_holds_only_what_is_needed(packed_environment: Path, unpacked: Path) -> None:
    record = read_metadata(packed_environment)
    assert record["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record["packages"]["torch"].startswith("2.")
    assert record["cpu"] is True
    assert not {"pyspark", "py4j", "pytest", "mypy", "ruff", "triton"} & set(record["packages"])
    files = [str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()]
    content = [place for place in files if place != METADATA]
    assert record["content_sha256"] == digest(unpacked, content)
    assert not [place for place in files if place.endswith("/libc.so.6") or "torch/include/" in place]
    assert not [place for place in files if Path(place).name.startswith(("libcublas", "libnccl", "libcudnn_"))]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    module = tmp_path / "my_networks"
    (module / "__pycache__").mkdir(parents=True)
    (module / "__init__.py").write_text("def build():\n    return {'a', 'b', 'c'}\n")
    (module / "__pycache__" / "old.pyc").write_bytes(b"stale")
    packed = [
        pack(Order(output=tmp_path / name, modules=(module,), excluded=HEAVY))
        for name in ("one.tar.gz", "two.tar.gz")
    ]  # fmt: skip
    assert packed[0].metadata == packed[1].metadata
    assert packed[0].output.read_bytes() == packed[1].output.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_networks", "one.tar.gz", "two.tar.gz"]
    with tarfile.open(packed[0].output) as archive:
        archive.extractall(tmp_path / "there", filter="tar")
    assert (
        run_alone(tmp_path / "there", "import my_networks; print(sorted(my_networks.build()))") == "['a', 'b', 'c']\n"
    )
    assert not list((tmp_path / "there").rglob("old.pyc"))


def test_the_command(tmp_path: Path) -> None:
    output = tmp_path / "environment.tar.gz"
    left_out = [part for name in HEAVY for part in ("--exclude", name)]
    command = [sys.executable, "-m", "sparkweave", "pack", "--output", str(output), *left_out, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["archive_bytes"] == output.stat().st_size
    assert document["sizes"]["python"] > 10_000_000
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 6
    assert "--overwrite" in again.stderr


@pytest.mark.parametrize("line", ["Putting", "Compiling"])
def test_an_interrupted_command_leaves_nothing(tmp_path: Path, line: str) -> None:
    command = [sys.executable, "-m", "sparkweave", "pack", "--output", str(tmp_path / "environment.tar.gz")]
    left_out = [part for name in HEAVY for part in ("--exclude", name)]
    with subprocess.Popen([*command, *left_out], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(said.startswith(line) for said in process.stderr)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().endswith("Interrupted.\n")
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
