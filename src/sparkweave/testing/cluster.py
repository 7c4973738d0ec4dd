"""A cluster to try things out on: ``python -m sparkweave.testing.cluster`` runs HDFS and YARN until Ctrl-C. ``make cluster`` does the same."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence

from sparkweave.errors import SparkweaveError
from sparkweave.testing.hadoop import HadoopCluster
from sparkweave.testing.hadoop_settings import Capacity
from sparkweave.testing.ports import LOOPBACK

_LOOK_SECONDS = 0.5
_GUIDE = """
HDFS and YARN are ready: {fs_uri}, {nodes} nodes of {memory} MB. The nodes have no Python. In another shell:

{exports}

Then, for example (`make demo` writes the images):

  hdfsn mkdir {path}/train && hdfsn put demo/train/*.zip {path}/train && hdfsn put demo/test.zip {path}
  sparkweave train {home}/train --test {home}/test.zip --output demo/hdfs.zip --workers 2 --master 'local[2]'
  sparkweave submit --master yarn --deploy-mode cluster --num-executors 2 --executor-memory 1g --driver-memory 1g \\
    -- train {home}/train --test {home}/test.zip --epochs 5 --batch-size 50 --output {home}/model.zip

Applications: {web}. The daemons' log: {log}
Ctrl-C ends everything and removes its data.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a cluster until Ctrl-C or SIGTERM; returns the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="sparkweave-cluster-") as folder:
            _run(folder, options.nodes, options.node_memory_mb)
    except KeyboardInterrupt:
        print("The cluster is gone.")
        return 0
    except SparkweaveError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return error.exit_code
    print("cluster: Hadoop's JVM ended by itself", file=sys.stderr)
    return 1


def guide(cluster: HadoopCluster, *, nodes: int, memory_mb: int) -> str:
    """What to type to use a cluster that runs."""
    home = cluster.home
    return _GUIDE.format(
        fs_uri=cluster.fs_uri,
        nodes=nodes,
        memory=memory_mb,
        exports="\n".join(f"  export {name}={shlex.quote(value)}" for name, value in _exports(cluster).items()),
        path=home,
        home=cluster.uri(home),
        web=cluster.web_address,
        log=cluster.log,
    )


def _exports(cluster: HadoopCluster) -> dict[str, str]:
    """The variables for a shell: Java and its options are found by sparkweave itself."""
    folders = dict.fromkeys(("HADOOP_CONF_DIR", "YARN_CONF_DIR", "SPARK_CONF_DIR"), str(cluster.conf_dir))
    return {**folders, "SPARK_LOCAL_IP": LOOPBACK}


def _run(folder: str, nodes: int, memory_mb: int) -> None:
    print("Starting HDFS and YARN ...", flush=True)
    with HadoopCluster(folder, nodes=nodes, capacity=Capacity(node_memory_mb=memory_mb)) as cluster:
        print(guide(cluster, nodes=nodes, memory_mb=memory_mb), flush=True)
        while cluster.is_running():
            time.sleep(_LOOK_SECONDS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sparkweave.testing.cluster", description="Runs HDFS and YARN on this machine until Ctrl-C."
    )
    parser.add_argument("--nodes", type=int, default=2, help="how many machines it plays (default: 2)")
    # Two nodes of 4 GB have no room for a driver and two executors with heaps of 1 GB and PyTorch beside them.
    parser.add_argument("--node-memory-mb", type=int, default=8192, help="memory of each (default: 8192)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
