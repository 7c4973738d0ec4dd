"""What a task finds out about the worker that it would be: one probe in each slot, all at the same time.

The functions here travel with the task (pickled by value), so they run, and report, on an executor that has another sparkweave or none.
They return plain data, and need Python's standard library alone; everything else is looked for.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
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

from sparkweave.deploy.doctor.beacon import ask, beacon
from sparkweave.deploy.doctor.machine import (
    address_limit,
    available_memory,
    look_at_folder,
    memory_limit,
    process_memory,
    processor,
    usable_cores,
)

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - looked at only
_CALL_SECONDS = 5.0
_NAME_SECONDS = 5.0
_CALLS_AT_ONCE = 32


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
            ``token`` of its beacon, and the archives to read: ``files``, pairs of a file system (its class in
            `sparkweave.filesystem` and the fields of that) and paths there.
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
    interfaces, interface = _interfaces(request["driver"])
    address = interfaces.get(interface or "")
    driver = ask(request["driver"], request["port"], request["token"], seconds=_CALL_SECONDS)
    found: dict[str, Any] = {
        "interfaces": {name: own for name, own in interfaces.items() if not own.startswith("127.")},
        "interface": interface,
        "address": address,
        "port": None,
        "driver": {"rank": None, **driver},
        "peers": [],
    }
    if exchange is None:
        return found
    with beacon(address or "127.0.0.1", request["token"]) as port:
        cards = [json.loads(card) for card in exchange(json.dumps([rank, address or "127.0.0.1", port]))]
        peers = _call([card for card in cards if card[0] != rank], request["token"])
        exchange("")  # nobody stops listening before all have called
    return {**found, "port": port, "peers": peers}


def _call(cards: Sequence[tuple[int, str, int]], token: str) -> list[dict[str, Any]]:
    if not cards:
        return []
    with concurrent.futures.ThreadPoolExecutor(min(len(cards), _CALLS_AT_ONCE)) as pool:
        answers = pool.map(lambda card: ask(card[1], card[2], token, seconds=_CALL_SECONDS), cards)
        return [{"rank": card[0], **answer} for card, answer in zip(cards, answers, strict=True)]


def _interfaces(driver: str) -> tuple[dict[str, str], str | None]:
    """IPv4 address by interface, and which one leads to the driver."""
    try:
        from sparkweave.distributed.interface import interface_addresses, interface_towards
    except ImportError:  # no sparkweave here, or another: the findings say so
        return {}, None
    return interface_addresses(), interface_towards(driver)
