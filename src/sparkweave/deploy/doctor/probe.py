"""What a task finds out about the worker that it would be: one probe in each slot, all at the same time.

The functions here travel with the task (pickled by value), so they run, and report, on an executor that has another sparkweave or none.
They return plain data, and need Python's standard library alone; everything else is looked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.metadata
import json
import os
import platform
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sparkweave.deploy.doctor.machine import (
    address_limit,
    available_memory,
    look_at_folder,
    memory_limit,
    process_memory,
    processor,
    usable_cores,
)
from sparkweave.distributed.beacon import ask
from sparkweave.distributed.interface import choose_interface, interface_addresses
from sparkweave.distributed.probing import CALL_SECONDS, Card, announced, call
from sparkweave.errors import ResourceError

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - looked at only
_NAME_SECONDS = 5.0


def examine(
    request: Mapping[str, Any],
    *,
    rank: int,
    exchange: Callable[[str], list[str]] | None,
    gpus: Sequence[str] = (),
    task_cpus: int = 1,
) -> dict[str, Any]:
    """Looks at this worker, and calls the driver and all others.

    Args:
        request: What the driver asks: ``packages`` and ``modules`` to look for, its own ``driver`` host with the ``port`` and the
            ``token`` of its beacon, the ``subnet`` and ``ports`` that workers are to use and whether each ``calls_peers``, and the
            archives to read: ``files``, pairs of a file system (its class in `sparkweave.filesystem` and the fields of that)
            and paths there.
        rank: This worker.
        exchange: An all-gather of one string a worker, or None where the workers don't run at the same time.
        gpus: Addresses of GPUs that the task has.
        task_cpus: Cores that it has.

    Returns:
        The fields of `sparkweave.deploy.doctor.facts.WorkerFacts`.
    """
    available = available_memory()
    failed = try_imports(request["modules"])
    memory, addresses = process_memory()
    model, has_bfloat16 = processor()
    folders = os.environ.get("SPARK_LOCAL_DIRS", "")
    return {
        "rank": rank,
        "host": socket.gethostname(),
        "executor": folders,
        "python": platform.python_version(),
        "executable": sys.executable,
        "versions": find_versions(request["packages"]),
        "failed_imports": failed,
        "memory": memory,
        "addresses_used": addresses,
        "addresses_allowed": address_limit(),
        "memory_allowed": memory_limit(),
        "memory_available": available,
        "cores": usable_cores(),
        "task_cpus": task_cpus,
        "openmp_threads": os.environ.get("OMP_NUM_THREADS"),
        "gpus": list(gpus),
        "processor": model,
        "has_bfloat16": has_bfloat16,
        "local_folders": [look_at_folder(path) for path in folders.split(",") if path],
        "shared_memory": look_at_folder(SHARED_MEMORY) if os.path.isdir(SHARED_MEMORY) else None,
        "own_addresses": own_addresses(),
        "reads": try_reading(request["files"]),
        **meet(request, rank, exchange),
    }


def try_imports(modules: Iterable[str]) -> dict[str, str]:
    """Why modules can't be imported; the first reason is the one that counts, so it ends there."""
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from being imported is what is looked for
            return {name: f"{type(error).__name__}: {error}"}
    return {}


def find_versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The version of each package, None where it isn't installed."""
    found: dict[str, str | None] = dict.fromkeys(packages)
    for name in found:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def own_addresses() -> list[str]:
    """What the machine's own name stands for; a name server that doesn't answer is not waited for."""
    found: list[str] = []

    def look_up() -> None:
        with contextlib.suppress(OSError):
            found.extend(socket.gethostbyname_ex(socket.gethostname())[2])

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(_NAME_SECONDS)
    return list(found)


def try_reading(files: Iterable[tuple[tuple[str, Mapping[str, Any]], Sequence[str]]]) -> dict[str, str]:
    """The archives whose last bytes can't be read here, with the reason."""
    failed = {}
    for (kind, fields), paths in files:
        for path in paths:
            try:
                fs = getattr(importlib.import_module("sparkweave.filesystem"), kind)(**fields)
                size = fs.size(path)
                fs.read(path, max(size - 22, 0), 22)
            except (OSError, ImportError, AttributeError, TypeError) as error:
                failed[path] = getattr(error, "strerror", None) or str(error)
    return failed


def meet(request: Mapping[str, Any], rank: int, exchange: Callable[[str], list[str]] | None) -> dict[str, Any]:
    """Calls the driver, and every worker at the interface that it would train over."""
    addresses = interface_addresses()
    driver = ask(request["driver"], request["port"], request["token"], seconds=CALL_SECONDS)
    found: dict[str, Any] = {
        "interfaces": {name: own for name, own in addresses.items() if not own.startswith("127.")},
        "interface": None,
        "address": None,
        "port": None,
        "cut_off": None,
        "driver": {"rank": None, **driver},
        "peers": [],
    }
    with contextlib.ExitStack() as stack:
        try:
            interface = choose_interface(request["subnet"], request["driver"])
            card = stack.enter_context(announced(interface, rank=rank, ports=request["ports"]))
            found |= {"interface": card.interface, "address": card.address, "port": card.port}
        except ResourceError as error:
            card = None
            found["cut_off"] = str(error)
        if exchange is not None:
            told = [json.loads(text) for text in exchange(json.dumps(card and dataclasses.asdict(card)))]
            others = [Card(**other) for other in told if other and other["rank"] != rank and request["calls_peers"]]
            answers = zip(others, call(others), strict=True)
            found["peers"] = [{"rank": other.rank, **answer} for other, answer in answers]
            exchange("")  # nobody stops listening before all have called
    return found
