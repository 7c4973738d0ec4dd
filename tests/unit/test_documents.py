"""Commands in the documents that no test runs, for they need a cluster: at least their options are right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from sparkweave.cli.main import cli
from sparkweave.cli.submit import COMMANDS
from sparkweave.cli.submitted import parse

DOCUMENTS = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))


def commands(document: Path) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("command", [command for document in DOCUMENTS for command in commands(document)])
def test_commands_of_the_documents_are_well_formed(command: str) -> None:
    program, name, *arguments = shlex.split(command)
    assert program == "sparkweave"
    context = cli.commands[name].make_context(name, arguments, parent=click.Context(cli))
    if name == "submit":
        parse(cli, context.params["command"], COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_the_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert target.startswith("http") or (document.parent / target).exists(), target
