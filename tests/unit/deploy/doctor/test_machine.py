"""What Linux says of a machine, from files made up for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.deploy.doctor.machine import (
    available_memory,
    look_at_folder,
    memory_limit,
    process_memory,
    processor,
    usable_cores,
)

MIB = 1 << 20


def write(root: Path, files: dict[str, str]) -> Path:
    files = {"proc/meminfo": "MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n", **files}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_control_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    root = write(tmp_path, {})
    assert memory_limit(root) is None
    assert available_memory(root) == 512 * MIB


def test_version_2_takes_the_least_limit_on_the_way_up(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/pod"
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/container\n",
            f"{group}/container/memory.max": "max\n",
            f"{group}/memory.max": f"{200 * MIB}\n",
            f"{group}/memory.current": f"{150 * MIB}\n",
            f"{group}/memory.stat": f"anon 5\ninactive_file {30 * MIB}\n",
        },
    )
    assert memory_limit(root) == 200 * MIB
    assert available_memory(root) == 80 * MIB


def test_version_1_within_a_container_has_its_own_group_at_the_top(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/docker/4711\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{100 * MIB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{90 * MIB}\n",
        },
    )
    assert memory_limit(root) == 100 * MIB
    assert available_memory(root) == 10 * MIB


def test_a_limit_above_what_the_machine_has_is_none(tmp_path: Path) -> None:
    limit = {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert memory_limit(write(tmp_path, {"proc/self/cgroup": "4:memory:/\n", **limit})) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: A\nflags\t\t: avx2 avx512_bf16\n\nmodel name\t: A\nflags\t\t: avx2 avx512_bf16\n", ("A", True)),
        ("model name\t: B\nflags\t\t: avx2\n", ("B", False)),
        ("CPU part\t: 0xd40\nFeatures\t: asimd bf16\n", ("0xd40", True)),
        ("", ("unknown", False)),
    ],
)
def test_the_processor(tmp_path: Path, text: str, expected: tuple[str, bool]) -> None:
    assert processor(write(tmp_path, {"proc/cpuinfo": text})) == expected


def test_this_process() -> None:
    resident, addresses = process_memory()
    assert 0 < resident < addresses
    assert usable_cores() >= 1


def test_a_folder_is_written_to_and_left_as_it_was(tmp_path: Path) -> None:
    found = look_at_folder(str(tmp_path))
    assert found["error"] is None
    assert found["free"] > 0
    assert list(tmp_path.iterdir()) == []
    assert look_at_folder(str(tmp_path / "none"))["error"] == "No such file or directory"
