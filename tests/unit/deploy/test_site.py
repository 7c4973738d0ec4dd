"""The cluster's own settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.deploy.site import has_kerberos, largest_container

SITE = """<?xml version="1.0"?>
<configuration>
  <property><name>yarn.resourcemanager.address</name><value>host:8032</value></property>
  <property><name>yarn.scheduler.maximum-allocation-mb</name><value>{value}</value></property>
</configuration>
"""


def test_the_largest_container_is_what_yarn_grants(tmp_path: Path) -> None:
    (tmp_path / "yarn-site.xml").write_text(SITE.format(value=2048))
    assert largest_container({"HADOOP_CONF_DIR": str(tmp_path)}) == 2 << 30
    assert largest_container({"YARN_CONF_DIR": str(tmp_path), "HADOOP_CONF_DIR": "/nowhere"}) == 2 << 30


@pytest.mark.parametrize("content", [None, "<configuration/>", "<config", SITE.format(value="much")])
def test_where_it_is_not_said_it_is_not_known(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "yarn-site.xml").write_text(content)
    assert largest_container({"HADOOP_CONF_DIR": str(tmp_path)}) is None
    assert largest_container({}) is None


@pytest.mark.parametrize(("value", "asked"), [("kerberos", True), ("simple", False)])
def test_whether_the_cluster_asks_for_a_ticket(value: str, asked: bool, tmp_path: Path) -> None:
    name = "hadoop.security.authentication"
    setting = f"<property><name>{name}</name><value> {value} </value></property>"
    (tmp_path / "core-site.xml").write_text(f"<configuration>{setting}</configuration>")
    assert has_kerberos({"HADOOP_CONF_DIR": str(tmp_path)}) is asked
    assert not has_kerberos({})
