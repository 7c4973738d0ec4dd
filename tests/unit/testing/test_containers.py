from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from sparkweave.testing.containers import (
    application_logs,
    container_processes,
    kill_containers,
    running_containers,
)

APPLICATION = "application_1_0001"
CONTAINER = "container_1_0001_01_000002"


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A process where a NodeManager would start one, with the file it would keep of it."""
    work = folder / "node-1" / "local" / "usercache" / CONTAINER
    work.mkdir(parents=True)
    process = subprocess.Popen(["sleep", "1000"], cwd=work, start_new_session=True)
    file = folder / "node-1" / "local" / "nmPrivate" / APPLICATION / CONTAINER / f"{CONTAINER}.pid"
    file.parent.mkdir(parents=True)
    file.write_text(f"{process.pid}\n")
    return process


def test_a_running_container_is_found_and_killed(tmp_path: Path) -> None:
    process = start(tmp_path)
    (container,) = running_containers(tmp_path)
    assert (container.name, container.application, container.node) == (CONTAINER, APPLICATION, 1)
    assert not container.is_application_master
    container.kill()
    process.wait()
    assert running_containers(tmp_path) == []


def test_all_containers_are_killed_and_nobody_else(tmp_path: Path) -> None:
    container, bystander = start(tmp_path), subprocess.Popen(["sleep", "1000"], cwd=tmp_path)
    while container_processes(tmp_path) != [container.pid]:
        time.sleep(0.01)
    kill_containers(tmp_path)
    container.wait()
    assert bystander.poll() is None
    assert container_processes(tmp_path) == []
    bystander.kill()
    bystander.wait()


def test_a_shell_in_the_clusters_folder_is_no_container(tmp_path: Path) -> None:
    assert os.getpid() not in container_processes(Path.cwd())
    assert container_processes(tmp_path) == []


def test_logs_are_those_of_the_application(tmp_path: Path) -> None:
    for application, text in ((APPLICATION, "ours"), ("application_1_0002", "theirs")):
        folder = tmp_path / "node-0" / "logs" / application / CONTAINER
        folder.mkdir(parents=True)
        (folder / "stderr").write_text(text)
        (folder / "stdout").write_text("")
    assert application_logs(tmp_path, APPLICATION) == (f"==> node-0/logs/{APPLICATION}/{CONTAINER}/stderr <==\nours")
