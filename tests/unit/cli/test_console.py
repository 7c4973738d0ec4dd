from __future__ import annotations

from sparkweave.cli.console import clean


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert clean("a\x1b[31mb\x07c\u202ed\ud800e\r") == "a�[31mb�c�d�e�"


def test_text_stays_as_it_is() -> None:
    assert clean("Zürich\tカメラ 🙂\n") == "Zürich\tカメラ 🙂\n"
