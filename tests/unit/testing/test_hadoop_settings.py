from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from sparkweave.testing.hadoop_settings import (
    CLUSTER_PORTS,
    NODE_PORTS,
    Capacity,
    container_environment,
    hdfs_settings,
    node_settings,
    write_conf_dir,
    yarn_settings,
)

PORTS = list(range(1000, 1000 + CLUSTER_PORTS + NODE_PORTS))


def test_every_port_is_used_once_and_on_loopback(tmp_path: Path) -> None:
    hdfs, yarn = hdfs_settings(tmp_path, PORTS), yarn_settings(PORTS, Capacity())
    node = node_settings(tmp_path, PORTS[CLUSTER_PORTS:])
    addresses = [
        value.removeprefix("hdfs://")
        for settings in (hdfs, yarn, node)
        for name, value in settings.items()
        if name.endswith("address") or name == "fs.defaultFS"
    ]
    assert sorted(addresses) == [f"127.0.0.1:{port}" for port in PORTS]


def test_a_container_may_have_all_of_a_node_unless_said_otherwise() -> None:
    name = "yarn.scheduler.maximum-allocation-mb"
    assert yarn_settings(PORTS, Capacity(node_memory_mb=3000))[name] == "3000"
    assert yarn_settings(PORTS, Capacity(node_memory_mb=3000, container_memory_mb=2000))[name] == "2000"


def test_settings_are_read_back_from_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    write_conf_dir(
        folder,
        hdfs={"fs.defaultFS": "hdfs://a", "dfs.replication": "1"},
        yarn={"yarn.odd": '<&> and "quotes"'},
        spark={"spark.a": "b c"},
    )
    assert read(folder / "core-site.xml") == {"fs.defaultFS": "hdfs://a"}
    assert read(folder / "hdfs-site.xml") == {"dfs.replication": "1"}
    assert read(folder / "yarn-site.xml") == {"yarn.odd": '<&> and "quotes"'}
    assert read(folder / "capacity-scheduler.xml")["yarn.scheduler.capacity.root.queues"] == "default,urgent"
    assert (folder / "spark-defaults.conf").read_text() == "spark.a b c\n"


def test_containers_get_variables_and_keep_named_ones() -> None:
    settings = container_environment({"PATH": "/bare", "A": "b"}, forwarded=["JAVA_HOME"])
    assert settings["yarn.nodemanager.admin-env"] == "PATH=/bare,A=b"
    assert settings["yarn.nodemanager.env-whitelist"] == "JAVA_HOME,LANG,TZ"


def read(file: Path) -> dict[str | None, str | None]:
    return {entry.findtext("name"): entry.findtext("value") for entry in ET.parse(file).iter("property")}
