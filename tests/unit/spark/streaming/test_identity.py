from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.artifacts.storage import LOCAL
from sparkweave.errors import ArtifactError
from sparkweave.spark.streaming.identity import IN_CHECKPOINT, StreamIdentity, claim_checkpoint, claim_output


def claim(folder: Path, **changes: str) -> StreamIdentity:
    return claim_checkpoint(str(folder / "checkpoint"), **{"source": "in", "output": "out", **changes}, storage=LOCAL)


def test_a_checkpoint_keeps_its_identity(tmp_path: Path) -> None:
    assert claim(tmp_path) == claim(tmp_path)


@pytest.mark.parametrize(("name", "argument"), [("input", "source"), ("output", "output")])
def test_a_checkpoint_is_of_one_input_and_output(tmp_path: Path, name: str, argument: str) -> None:
    claim(tmp_path)
    with pytest.raises(ArtifactError, match=f"with the {name} (in|out), and this one's is other"):
        claim(tmp_path, **{argument: "other"})


def test_a_folder_of_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "metadata").touch()
    with pytest.raises(ArtifactError, match="not a checkpoint of `sparkweave stream`"):
        claim(tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    claim(tmp_path)
    (tmp_path / "checkpoint" / IN_CHECKPOINT).write_text("[]")
    with pytest.raises(ArtifactError, match="is damaged"):
        claim(tmp_path)


def test_an_output_is_of_one_stream(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    identity = claim(tmp_path)
    for _ in range(2):
        claim_output(output, identity, checkpoint="c", storage=LOCAL)
    other = StreamIdentity(token="other", input="in", output="out")
    with pytest.raises(ArtifactError, match="belongs to a stream with another checkpoint than c"):
        claim_output(output, other, checkpoint="c", storage=LOCAL)


def test_an_output_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ArtifactError, match="is no stream's output"):
        claim_output(str(tmp_path), claim(tmp_path / "c"), checkpoint="c", storage=LOCAL)
