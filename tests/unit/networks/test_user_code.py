"""Networks from user code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sparkweave.errors import ConfigError
from sparkweave.networks import build_network, describe_network

CODE = """
from torch import nn

imported = True
number = 3

class Net(nn.Sequential):
    def __init__(self, classes):
        super().__init__(nn.Flatten(), nn.LazyLinear(classes))

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 10))

def both(input_shape, classes):
    c, h, w = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, classes))

def keywords(**options):
    return both(**options)

def wants_more(input_shape, width):
    return plain()

def positional(classes, /):
    return plain()

def nothing():
    return None

def broken():
    raise RuntimeError("no luck")
"""


@pytest.fixture(autouse=True)
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user_networks.py").write_text(CODE)
    (tmp_path / "user_broken.py").write_text("raise RuntimeError('at import')\n")
    (tmp_path / "user_lacking.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("user_networks", "user_broken", "user_lacking"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def build(spec: str, *, allow_code: bool = True) -> nn.Module:
    return build_network(spec, input_shape=(1, 4, 4), classes=10, allow_code=allow_code)


@pytest.mark.parametrize("function", ["Net", "plain", "both", "keywords"])
def test_a_factory_gets_what_it_asks_for(function: str) -> None:
    network = build(f"user_networks:{function}")
    assert network.training
    assert network(torch.rand(3, 1, 4, 4)).shape == (3, 10)


def test_user_code_is_not_imported_unless_allowed() -> None:
    for spec in ("user_networks:plain", describe_network("user_networks:plain")):
        with pytest.raises(ConfigError, match=r"'user_networks:plain' is user code.*allow_code=True"):
            build_network(spec, input_shape=(1, 4, 4), classes=10, allow_code=False)
    assert "user_networks" not in sys.modules


def test_describing_user_code_imports_nothing() -> None:
    assert describe_network("user_networks:plain") == {"name": "user_networks:plain", "factory": "user_networks:plain"}
    assert "user_networks" not in sys.modules


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("user_missing:plain", "there is no module 'user_missing' on this machine's Python path; install it"),
        ("user_lacking:plain", "there is no module 'not_installed_anywhere'"),
        ("user_broken:plain", "importing user_broken failed with RuntimeError: at import"),
        ("user_networks:absent", "user_networks has no 'absent'"),
        ("user_networks:number", "is int, not a function or class to call"),
        ("user_networks:wants_more", "needs width; it may take input_shape and classes as keywords"),
        ("user_networks:positional", "needs classes"),
        ("user_networks:nothing", r"returned NoneType; it must return a torch\.nn\.Module"),
        ("user_networks:broken", "failed with RuntimeError: no luck"),
    ],
)
def test_a_factory_that_does_not_work_is_explained(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(spec)


def test_the_output_of_user_code_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"must be \(2, 3\)"):
        build_network("user_networks:plain", input_shape=(1, 4, 4), classes=3, allow_code=True)


def test_a_description_with_a_malformed_factory_is_refused() -> None:
    with pytest.raises(ConfigError, match="not of the form"):
        build_network({"factory": "os.system('x')"}, input_shape=(1, 4, 4), classes=3, allow_code=True)
