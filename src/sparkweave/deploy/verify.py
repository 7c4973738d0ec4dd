"""Runs a packed environment's interpreter with no environment at all, and looks at what it loads.

The tree is in another folder than anything it was made of, so what works here works on a node with a new enough glibc. The memory
map tells whether a library of this machine was used, which a node might not have.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sparkweave.deploy.relocate import is_glibc
from sparkweave.errors import ResourceError

# Each runs if the distribution is packed. Together they call what a worker calls: decoding, Arrow, a training step, gloo.
CHECKS = {
    "sparkweave": "import sparkweave.config, sparkweave.errors",
    "numpy": "import numpy; numpy.linalg.inv(numpy.eye(3))",
    "pandas": "import pandas; pandas.DataFrame({'a': [1]}).sum()",
    "pyarrow": "import pyarrow; pyarrow.array([1, 2]).to_pandas()",
    "opencv-python-headless": "import cv2, numpy; cv2.imdecode(cv2.imencode('.png', numpy.zeros((4, 4), 'uint8'))[1], 0)",
    "safetensors": "import safetensors",
    "pyyaml": "import yaml; yaml.safe_load('a: 1')",
    "hdfs-native": "import hdfs_native",
    "torch": """
import torch, torch.distributed
from torch.nn import BatchNorm2d, Conv2d, Flatten, Linear, Sequential
network = Sequential(Conv2d(1, 4, 3), BatchNorm2d(4), Flatten(), Linear(4 * 26 * 26, 3))
optimizer = torch.optim.Adam(network.parameters(), fused=True)
loss = torch.nn.functional.cross_entropy(network(torch.rand(8, 1, 28, 28)), torch.randint(3, (8,)))
loss.backward()
optimizer.step()
assert torch.isfinite(loss), loss
torch.cuda.is_available()
torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
torch.distributed.all_reduce(torch.ones(3))
torch.distributed.destroy_process_group()
""",
}
_GLIBC_DATA = re.compile(r"/dev/|/memfd:|.*/(locale|gconv)/")
_EXTENSIONS = ("_bz2", "_ctypes", "_hashlib", "_lzma", "_socket", "_sqlite3", "_ssl", "_uuid", "zlib")
_LAST = """
import json, sys
with open("/proc/self/maps") as maps:
    mapped = sorted({line.split(maxsplit=5)[5].strip() for line in maps if "/" in line})
modules = sorted({getattr(module, "__file__", None) or "" for module in sys.modules.values()})
print(json.dumps({"prefix": sys.prefix, "mapped": mapped, "modules": modules}))
"""


def verify(root: Path, interpreter: str, packages: Collection[str]) -> None:
    """Imports and uses what is packed.

    Args:
        root: The environment's folder.
        interpreter: The interpreter's place in it.
        packages: Names of the distributions that are in it.

    Raises:
        ResourceError: if it does not work, or uses anything of this machine but glibc.
    """
    extensions = [
        f"import {name}" for name in _EXTENSIONS if importlib.util.find_spec(name)
    ]  # this Python may lack some
    parts = [*extensions, *(check for name, check in CHECKS.items() if name in packages), _LAST]
    done = subprocess.run(
        [str(root / interpreter), "-I", "-B", "-X", "faulthandler", "-c", "\n".join(parts)],
        capture_output=True, text=True, check=False, cwd="/", env={},
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ResourceError(
            f"the packed environment does not work (exit code {done.returncode}): {last}; if it is a package that is missing, name"
            " it with --requirement or don't exclude it; if it is torch, pack without --cpu"
        )
    if strangers := find_strangers(json.loads(done.stdout.splitlines()[-1]), root.resolve()):
        raise ResourceError(
            f"the packed environment still uses {strangers[0]} of this machine, which a node may lack; use another Python, or"
            " leave out the package that needs it with --exclude"
        )


def find_strangers(report: dict[str, Any], root: Path) -> list[str]:
    """Files outside of ``root`` that a run used, other than glibc's own and its data."""
    used = [path for path in (report["prefix"], *report["mapped"], *report["modules"]) if path.startswith("/")]
    outside = (path for path in used if not Path(path).is_relative_to(root))
    return [path for path in outside if not (is_glibc(Path(path).name) or _GLIBC_DATA.match(path))]
