"""`pack`: one archive with everything that a Python worker needs, for nodes that have no Python.

Unpacked anywhere, ``bin/python`` in it works. The tree is put together from hard links beside the archive, made independent of this
machine, compiled, tried out, and only then written and renamed into place.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sparkweave._version import __version__
from sparkweave.deploy.archive import LEVEL, digest, write_archive
from sparkweave.deploy.assemble import PROGRAM, add_byte_code, add_interpreter, add_packages, leave_out_gpus
from sparkweave.deploy.environment import SPARK, Package, check_names, find_gpu_libraries, find_module, find_packages
from sparkweave.deploy.interpreter import Interpreter, find_interpreter
from sparkweave.deploy.relocate import bundle, newest_glibc
from sparkweave.deploy.tree import Tree
from sparkweave.deploy.verify import verify
from sparkweave.errors import ArtifactError, ConfigError

METADATA = "sparkweave-environment.json"
"""The archive's first entry."""
_FORMAT = 1
_LONGEST_METADATA = 1 << 20
_LOOKS, _LOOK_SECONDS = 100, 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """What to pack.

    Attributes:
        output: Where the archive goes; its name ends in ``.tar.gz``.
        modules: The user's own modules: ``.py`` files and folders of packages.
        requirements: Further distributions that are installed here.
        excluded: Distributions to leave out although something requires them.
        cpu: For nodes without GPUs: leave out what only these use.
        with_spark: Pack pyspark too; Spark brings its own to executors on YARN.
        overwrite: Replace an archive that is there.
        level: zlib's level, 0 to 9.
    """

    output: Path
    modules: tuple[Path, ...] = ()
    requirements: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    cpu: bool = False
    with_spark: bool = False
    overwrite: bool = False
    level: int = LEVEL


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packed:
    """What was packed.

    Attributes:
        output: The archive.
        archive_bytes: Its size.
        files: The number of files in it.
        sizes: Bytes of each package once unpacked, the largest first.
        metadata: What `read_metadata` returns of it.
    """

    output: Path
    archive_bytes: int
    files: int
    sizes: dict[str, int]
    metadata: dict[str, Any]


def pack(order: Order, report: Callable[[str], None] = lambda _: None) -> Packed:
    """Packs the running environment.

    Args:
        order: What, and where to.
        report: Called with a line at each step.

    Raises:
        ConfigError: if something that is asked for isn't there, or can't be packed.
        ArtifactError: if the output exists, or can't be written.
        ResourceError: if the environment doesn't work without this machine.
    """
    _check_output(order)
    interpreter = find_interpreter()
    excluded = (*order.excluded, *(() if order.with_spark else SPARK))
    packages = find_packages(order.requirements, excluded=excluded, cpu=order.cpu)
    modules = [find_module(path) for path in order.modules]
    check_names(packages, modules)
    with _workshop(order.output) as folder:
        tree = Tree(folder / "environment")
        tree.root.mkdir()
        report(f"Putting Python {interpreter.version} and {len(packages)} packages together")
        sources = add_interpreter(tree, interpreter)
        add_packages(tree, [*packages, *modules], interpreter.packages)
        if order.cpu:
            leave_out_gpus(tree, find_gpu_libraries(), interpreter.packages)
        binaries = bundle(tree, PROGRAM, sources=sources)
        report("Compiling the Python files, and trying the environment out")
        add_byte_code(tree, interpreter)
        verify(tree.root, PROGRAM, {package.name for package in packages})
        report("Writing the archive")
        record = _describe(order, interpreter, packages, modules)
        record["glibc"] = ".".join(map(str, newest_glibc(binaries.values())))
        record["content_sha256"] = digest(tree.root, tree.places())
        return _write(order, tree, record, folder)


def read_metadata(archive: Path) -> dict[str, Any]:
    """What `pack` says of an archive: versions, the glibc that nodes need, a digest of the content.

    Raises:
        ArtifactError: if it is no archive of `pack`'s.
    """
    try:
        with tarfile.open(archive, "r|gz") as stream:
            first = stream.next()
            content = stream.extractfile(first) if first is not None and first.name == METADATA else None
            record = json.loads(content.read(_LONGEST_METADATA)) if content is not None else None
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise ArtifactError(
            f"{archive} can't be read as an environment ({error}); pack it: sparkweave pack --output ENV.tar.gz"
        ) from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise ArtifactError(
            f"{archive} was not packed by this version of sparkweave; pack it: sparkweave pack --output ENV.tar.gz"
        )
    return record


def _check_output(order: Order) -> None:
    output = order.output
    if not output.name.endswith((".tar.gz", ".tgz")):
        raise ConfigError(f"--output {output}: a tar.gz is written, and Spark goes by the name; end it in .tar.gz")
    if output.is_dir() or (output.exists() and not order.overwrite):
        raise ArtifactError(
            f"{output} exists; give another name" + ("" if output.is_dir() else ", or --overwrite to replace it")
        )
    if not output.parent.is_dir():
        raise ArtifactError(f"{output}: there is no folder {output.parent}; make it, or give another path")


@contextlib.contextmanager
def _workshop(output: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".sparkweave-pack-", dir=output.parent))
    remove = functools.partial(_remove, folder)
    atexit.register(remove)  # an interrupted command ends without coming back here
    try:
        yield folder
    finally:
        remove()
        atexit.unregister(remove)


def _remove(folder: Path) -> None:
    """Removes the folder, though the thread of an interrupted command may still write there: it fails at its next file."""
    for _ in range(_LOOKS):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_LOOK_SECONDS)
        if not folder.exists():
            return


def _describe(
    order: Order, interpreter: Interpreter, packages: list[Package], modules: list[Package]
) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "sparkweave": __version__,
        "python": interpreter.version,
        "platform": interpreter.platform,
        "cpu": order.cpu,
        "packages": {package.name: package.version for package in packages},
        "modules": [module.name for module in modules],
    }


def _write(order: Order, tree: Tree, record: dict[str, Any], folder: Path) -> Packed:
    places = tree.places()
    sizes = tree.sizes()
    tree.write(METADATA, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode(), "sparkweave")
    partial = folder / "archive"
    with partial.open("xb") as file:
        write_archive(file, tree.root, [METADATA, *places], level=order.level)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(order.output)
    return Packed(
        output=order.output,
        archive_bytes=order.output.stat().st_size,
        files=len(places) + 1,
        sizes=sizes,
        metadata=record,
    )
