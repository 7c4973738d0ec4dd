from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Outcome

from sparkweave.cli.pack import pack
from sparkweave.deploy import pack as module
from sparkweave.deploy.pack import Order, Packed
from sparkweave.errors import ResourceError

Run = Callable[..., Outcome]


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    orders: list[Order] = []

    def fake(order: Order, report: Callable[[str], None]) -> Packed:
        orders.append(order)
        report("Putting things together")
        if order.cpu:
            raise ResourceError("it does not work")
        metadata = {"python": "3.11.7", "packages": {"torch": "2.15.0"}, "platform": "linux-x86_64", "glibc": "2.36"}
        sizes = {"torch": 1_000_400_000, "python": 30_000_000, "mine": 1_000}
        return Packed(output=order.output, archive_bytes=454_000_000, files=12_000, sizes=sizes, metadata=metadata)

    monkeypatch.setattr(module, "pack", fake)
    return orders


def test_the_surface_of_the_command() -> None:
    names = {name for parameter in pack.params for name in parameter.opts}
    assert names == {
        "--config", "--cpu", "--debug", "--exclude", "--json", "--module", "--output", "--overwrite", "--requirement",
        "--with-spark",
    }  # fmt: skip


def test_options_reach_the_order(run: Run, orders: list[Order]) -> None:
    outcome = run(
        "pack", "--output", "e.tar.gz", "--module", "a.py", "--module", "b", "--requirement", "scikit-learn",
        "--exclude", "sympy", "--with-spark", "--overwrite",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert orders == [
        Order(
            output=Path("e.tar.gz"),
            modules=(Path("a.py"), Path("b")),
            requirements=("scikit-learn",),
            excluded=("sympy",),
            with_spark=True,
            overwrite=True,
        )
    ]


def test_what_was_packed_is_told_by_package(run: Run, orders: list[Order]) -> None:
    outcome = run("pack", "--output", "e.tar.gz")
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["torch", "2.15.0", "1,000.4", "MB"] in rows
    assert ["mine", "0.0", "MB"] in rows
    assert ["12,000", "files,", "unpacked", "1,030.4", "MB"] in rows
    assert "glibc 2.36 or newer" in outcome.out
    assert outcome.err.splitlines() == ["Putting things together", "Packed 454 MB: e.tar.gz"]


def test_json(run: Run, orders: list[Order]) -> None:
    document = json.loads(run("pack", "--output", "e.tar.gz", "--json").out)
    assert (document["archive_bytes"], document["unpacked_bytes"], document["files"]) == (
        454_000_000,
        1_030_401_000,
        12_000,
    )
    assert document["sizes"]["torch"] == 1_000_400_000
    assert document["glibc"] == "2.36"


def test_an_error_is_a_line(run: Run, orders: list[Order]) -> None:
    outcome = run("pack", "--output", "e.tar.gz", "--cpu")
    assert outcome.code == 4
    assert outcome.err.splitlines()[-1] == "Error: it does not work"


def test_options_may_stand_in_a_file(run: Run, orders: list[Order], tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text("output: e.tar.gz\nmodule: [a.py, b]\nexclude: sympy\n")
    assert run("pack", "--config", str(tmp_path / "pack.yaml")).code == 0
    assert orders[0].modules == (Path("a.py"), Path("b"))
    assert orders[0].excluded == ("sympy",)


def test_the_output_is_asked_for(run: Run) -> None:
    outcome = run("pack")
    assert outcome.code == 2
    assert "--output" in outcome.err
