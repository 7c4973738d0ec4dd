"""The processes of clusters for tests end with the process that started them, even if that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparkweave.spark.java import find_java
from sparkweave.testing.java_process import JavaProcess
from sparkweave.testing.process_group import ProcessGroup

pytestmark = pytest.mark.timeout(300)

JVM_AND_GROUP = """
import os, pathlib, sys, time, pyspark
from sparkweave.spark.java import find_java
from sparkweave.testing.java_process import JavaProcess
from sparkweave.testing.process_group import ProcessGroup
folder = pathlib.Path(sys.argv[1])
jars = sorted((pathlib.Path(pyspark.__file__).parent / "jars").glob("py4j-*.jar"))
jvm = JavaProcess(find_java(), class_path=jars, environment={}, output=folder / "jvm.log")
group = ProcessGroup(["sh", "-c", "sleep 1000"], environment=dict(os.environ), output=folder / "group.log")
print(jvm.pid, group.pid, flush=True)
time.sleep(1000)
"""


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", JVM_AND_GROUP, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pids = [int(word) for word in starter.stdout.readline().split()]
    assert [runs(pid) for pid in pids] == [True, True]
    starter.kill()
    starter.communicate()
    while any(runs(pid) for pid in pids):
        time.sleep(0.1)


def test_a_group_ends_with_all_that_its_command_started(tmp_path: Path) -> None:
    command = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    group = ProcessGroup(command, environment=dict(os.environ), output=tmp_path / "log")
    while not (tmp_path / "log").read_text().endswith("\n"):
        time.sleep(0.05)
    grandchild = int((tmp_path / "log").read_text())
    assert runs(grandchild)
    group.kill()
    assert [runs(grandchild), runs(group.pid)] == [False, False]


def test_a_jvm_that_does_not_start_is_an_error_with_its_reason(tmp_path: Path) -> None:
    from sparkweave.errors import ResourceError

    with pytest.raises(ResourceError, match="GatewayServer"):
        JavaProcess(find_java(), class_path=[tmp_path], environment={}, output=tmp_path / "log")


def test_a_cluster_to_try_things_out_on_ends_at_sigterm_and_takes_its_folder_with_it() -> None:
    command = [sys.executable, "-m", "sparkweave.testing.cluster", "--nodes", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = ""
    while "Ctrl-C" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    (folder,) = (Path(word[1]) for word in map(_assignment, said.split()) if word[0] == "HADOOP_CONF_DIR")
    assert {"core-site.xml", "spark-defaults.conf"} <= {file.name for file in folder.iterdir()}
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate()
    assert "The cluster is gone." in rest
    assert process.returncode == 0
    assert not folder.parent.exists()


def _assignment(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def runs(pid: int) -> bool:
    """Whether a process lives; one that has ended and that nobody has asked about yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
