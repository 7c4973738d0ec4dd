from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.artifacts.storage import LOCAL
from sparkweave.errors import ArtifactError
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.storage import storage_for


def test_a_local_path_needs_no_session(tmp_path: Path) -> None:
    assert storage_for(str(tmp_path)) is LOCAL
    assert storage_for(f"file:{tmp_path}") is LOCAL


def test_any_other_url_needs_one_and_the_error_says_how_to_start_it() -> None:
    with pytest.raises(ArtifactError, match=r"hdfs://nn/model: .* no Spark session runs; start one first"):
        TrainedModel.load("hdfs://nn/model")
