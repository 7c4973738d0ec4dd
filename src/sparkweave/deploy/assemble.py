"""Puts an environment together: the interpreter's files, the packages', and their byte code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sparkweave.deploy import cuda
from sparkweave.deploy.bytecode import compile_tree
from sparkweave.deploy.elf import read_binary
from sparkweave.deploy.environment import Package
from sparkweave.deploy.interpreter import Interpreter
from sparkweave.deploy.tree import Tree

PROGRAM = "bin/python"
"""The interpreter's place in an environment."""

_OWNER = "python"


def add_interpreter(tree: Tree, interpreter: Interpreter) -> dict[str, Path]:
    """Adds the program, its usual names, and the standard library.

    Returns:
        Where the programs and shared libraries among them come from, by their places.
    """
    tree.add(interpreter.executable, PROGRAM, _OWNER)
    for name in ("python3", f"python{interpreter.minor}"):
        tree.link(f"bin/{name}", "python", _OWNER)
    sources = {PROGRAM: interpreter.executable}
    for path, place in interpreter.files():
        tree.add(path, place, _OWNER)
        if path.suffix == ".so":
            sources[place] = path
    return sources


def add_packages(tree: Tree, packages: Iterable[Package], folder: str) -> None:
    """Adds packages to the folder in which the interpreter looks for them."""
    for package in packages:
        for path, place in package.files:
            tree.add(path, f"{folder}/{place}", package.name)


def leave_out_gpus(tree: Tree, libraries: Mapping[str, tuple[Path, str, str]], folder: str) -> None:
    """Takes what only GPUs use out of torch, and adds those of CUDA's libraries that it calls without a GPU too.

    Args:
        tree: With torch, without the packages for GPUs.
        libraries: The libraries of these packages, by their names: file, place, package.
        folder: Where the packages are.
    """
    for place in [
        place for place in tree.places() if place.startswith(f"{folder}/torch/") and ".so" in Path(place).name
    ]:
        if libraries and place.removeprefix(f"{folder}/") in cuda.LEFT_OUT:
            tree.remove(place)
            continue
        binary = read_binary(tree.path(place))
        for name in binary.needed if binary is not None else ():
            if name in libraries and cuda.is_kept(name):
                path, at, owner = libraries[name]
                tree.add(path, f"{folder}/{at}", owner)
        change = cuda.plan_change(tree.path(place), {name: path for name, (path, _, _) in libraries.items()})
        if change is not None:
            cuda.apply_change(tree.own(place), change)


def add_byte_code(tree: Tree, interpreter: Interpreter) -> None:
    """Compiles every Python file, so that no worker has to."""
    sources = [place for place in tree.places() if place.endswith(".py")]
    for source, compiled in compile_tree(tree.root, sources, interpreter.executable):
        tree.owners[compiled] = tree.owners[source]
