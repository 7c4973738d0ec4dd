"""One driver at a time; a dead one does not hold the run for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkweave.artifacts import lease
from sparkweave.artifacts.lease import held
from sparkweave.artifacts.storage import LOCAL, LocalStorage
from sparkweave.errors import ArtifactError


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Renews often, so that a watcher need not wait; and leaves no thread."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(lease, "_RENEWAL_TAKES_SECONDS", 0.05)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def leases(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".lease")]


def write_lease(folder: Path, *, host: str, pid: int, place: int = 1, number: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    content = json.dumps({"host": host, "pid": pid, "place": place, "renewals": 7})
    (folder / f"run-{number:06d}.lease").write_text(content)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lease_is_there_while_it_is_held_and_nothing_is_left(tmp_path: Path) -> None:
    with held(str(tmp_path / "run"), LOCAL) as mine:
        assert leases(tmp_path / "run") == ["run-000001.lease"]
        mine.check()
    assert os.listdir(tmp_path) == []


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "epoch-000001.zip").write_text("")
    with held(str(tmp_path), LOCAL):
        pass
    assert os.listdir(tmp_path) == ["epoch-000001.zip"]


def test_a_second_driver_is_refused_and_told_who_is_at_work(tmp_path: Path) -> None:
    with held(str(tmp_path), LOCAL):
        with (
            pytest.raises(ArtifactError, match=rf"process id {os.getpid()} on .* is at work on this run; wait for it"),
            held(str(tmp_path), LOCAL),
        ):
            pass
        assert leases(tmp_path) == ["run-000001.lease"]
    with held(str(tmp_path), LOCAL):
        pass


@pytest.mark.parametrize("missing", [1, 2])
def test_a_lease_that_is_missing_while_it_is_renewed_is_not_taken_for_released(tmp_path: Path, missing: int) -> None:
    class NoReplacing(LocalStorage):
        """Every so many times a file is not there when it is read, as between a removal and a rename."""

        looks = 0

        def read(self, path: str, *, limit: int) -> bytes:
            self.looks += 1
            if self.looks % 3 == missing:
                raise FileNotFoundError(path)
            return super().read(path, limit=limit)

    with (
        held(str(tmp_path), LOCAL),
        pytest.raises(ArtifactError, match="is at work"),
        held(str(tmp_path), NoReplacing()),
    ):
        pass


def test_a_dead_process_of_this_host_is_followed_at_once(tmp_path: Path) -> None:
    write_lease(tmp_path, host="here", pid=dead_process(), place=lease.Owner.here().place)
    with held(str(tmp_path), LOCAL, stale_seconds=10_000):
        assert leases(tmp_path) == ["run-000002.lease"]


def test_a_host_of_the_same_name_with_other_processes_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = lease.Owner(host=lease.Owner.here().host, pid=dead_process(), place=lease.Owner.here().place)
    assert owner.is_gone()
    monkeypatch.setattr(lease, "this_place", lambda: owner.place + 1)
    assert not owner.is_gone()
    monkeypatch.setattr(lease, "this_place", lambda: 0)
    assert not lease.Owner(host=owner.host, pid=owner.pid, place=0).is_gone()


def test_a_silent_driver_of_another_host_is_followed_after_a_while(tmp_path: Path) -> None:
    write_lease(tmp_path, host="elsewhere", pid=os.getpid())
    with held(str(tmp_path), LOCAL, stale_seconds=0.2):
        assert leases(tmp_path) == ["run-000002.lease"]


def test_a_half_written_lease_is_followed_after_a_while_too(tmp_path: Path) -> None:
    (tmp_path / "run-000003.lease").write_bytes(b"")
    with held(str(tmp_path), LOCAL, stale_seconds=0.2):
        assert leases(tmp_path) == ["run-000004.lease"]


def test_a_driver_that_was_only_asleep_notices(tmp_path: Path) -> None:
    with held(str(tmp_path), LOCAL) as mine:
        write_lease(tmp_path, host="elsewhere", pid=1, number=2)
        with pytest.raises(ArtifactError, match="another driver has taken this run over"):
            mine.check()
    assert leases(tmp_path) == ["run-000002.lease"], "the other one's is not released"


def test_of_many_that_take_over_at_once_one_gets_it(tmp_path: Path) -> None:
    write_lease(tmp_path, host="elsewhere", pid=1)
    begun, ended = threading.Barrier(4), threading.Event()
    owners, refused = [], []

    def take_over() -> None:
        begun.wait()
        try:
            with held(str(tmp_path), LOCAL, stale_seconds=0.2) as mine:
                owners.append(mine.path)
                ended.wait()
        except ArtifactError as error:
            refused.append(error)
        if len(refused) == 3:
            ended.set()

    threads = [threading.Thread(target=take_over) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(owners) == 1
    assert not tmp_path.exists(), "with nothing in it"


def test_a_folder_that_can_t_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="check its permissions"), held(str(tmp_path / "file" / "run"), LOCAL):
        pass


def test_a_renewal_that_fails_is_tried_again(tmp_path: Path) -> None:
    with held(str(tmp_path), LOCAL) as mine:
        (tmp_path / "run-000001.lease.renewed").mkdir()
        before = (tmp_path / "run-000001.lease").read_bytes()
        while (tmp_path / "run-000001.lease").read_bytes() == before:
            mine.check()
