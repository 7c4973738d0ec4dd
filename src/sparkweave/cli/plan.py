"""`sparkweave plan`: the memory that a run needs, as a table, and the settings that give it that."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sparkweave.cli.console import say, show, show_json
from sparkweave.cli.options import AT_LEAST_ONE, MemorySize, Setting, option
from sparkweave.cli.options_file import config_option
from sparkweave.cli.train import train
from sparkweave.cli.training_options import make_strategy, training_config, training_options
from sparkweave.deploy.memory_size import show_size, spark_size
from sparkweave.errors import ConfigError, DataError, ResourceError

if TYPE_CHECKING:
    from sparkweave.deploy.memory_plan import Containers, MemoryPlan
    from sparkweave.deploy.survey import Survey

_SMALL_IMAGE, _FEW_CLASSES = (28, 28), 10
_TITLES = {"worker": "One worker's native memory", "executor": "One executor", "driver": "The driver"}


@click.command()
@click.argument("train", nargs=-1)
@training_options
@option("--images", type=AT_LEAST_ONE, help="How many images there are; without it TRAIN is looked at.")
@option("--classes", type=AT_LEAST_ONE, help="How many classes there are.")
@option("--num-executors", type=AT_LEAST_ONE, default=2, help="Executors.")
@option("--executor-cores", type=AT_LEAST_ONE, default=1, help="Cores of an executor: workers, with --task-cpus each.")
@option("--task-cpus", type=AT_LEAST_ONE, default=1, help="Cores of a worker.")
@option("--executor-memory", type=MemorySize(), default="1g", help="Heap of an executor.")
@option("--executor-memory-overhead", type=MemorySize(), help="What an executor has outside of its heap.")
@option("--driver-memory", type=MemorySize(), default="1g", help="Heap of the driver.")
@option("--driver-memory-overhead", type=MemorySize(), help="What the driver has outside of its heap, in cluster mode.")
@option(
    "--deploy-mode",
    type=click.Choice(["client", "cluster"]),
    default="client",
    help="cluster: the driver runs in a container too.",
)
@option("--yarn-maximum", type=MemorySize(), help="The largest container that YARN grants; without it yarn-site.xml's.")
@option("--conf", type=Setting(), multiple=True, help="A Spark setting that bears on memory; may be repeated.")
@option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, everything else on stderr.")
@option("--debug", is_flag=True, help="Show the traceback of an error.")
@config_option
def plan(**options: Any) -> None:
    """Reckon the memory of a training before it is submitted: what a worker, an executor and the driver need, and why.

    A worker is measured: some of its steps are run here. The images' number and size are those of the archives TRAIN, on this
    machine's disk or on HDFS, or given by --images, --image-size, --channels and --classes. An overhead that isn't given is taken as
    `submit` sets it. Contradictions between the settings end in exit code 4, with what to change.
    """
    found = _survey(options)
    containers = _containers(options)
    asked = _plan(options, found, containers, executors=containers.executors or options["num_executors"])
    filled, advised = asked.with_overheads(), asked.recommended()
    findings = [str(finding) for finding in filled.findings()]
    assumed = overheads_added(asked, filled)
    if options["as_json"]:
        show_json(_document(filled, advised, found, findings, assumed))
    else:
        show(_text(filled, advised, found))
    if assumed:
        listed = " and ".join(f"{name}={value}" for name, value in assumed.items())
        say(f"Not given, and reckoned with as `sparkweave submit` sets it: {listed}; spark-submit has to be given it.")
    refuse_contradictions(findings)
    say(
        "These settings suffice."
        if advised == filled
        else "The settings asked for suffice; those above are on the safe side."
    )


def refuse_contradictions(findings: Iterable[object]) -> None:
    """Raises ResourceError if there are any."""
    if listed := "".join(f"\n  {finding}" for finding in findings):
        raise ResourceError(f"these settings contradict themselves:{listed}")


def _survey(options: dict[str, Any]) -> Survey:
    """Of the archives, where there are any; options win."""
    from sparkweave.data.image_rows import DecodeOptions
    from sparkweave.deploy.survey import Survey, survey

    height, width = options["image_size"] or (None, None)
    channels = int(options["channels"]) if options["channels"] else None
    if options["images"] and height and width:
        found = Survey(0, (channels or 1, height, width), _FEW_CLASSES)
    elif options["train"]:
        found = survey(options["train"], DecodeOptions(height=height, width=width, channels=channels))
    else:
        raise ConfigError(
            "which images? Name archives on this machine's disk or on HDFS, or give --images and --image-size HxW"
        )
    return Survey(options["images"] or found.images, found.shape, options["classes"] or max(found.classes, 1))


def memory_settings(
    arguments: Sequence[str], settings: Mapping[str, str], *, executors: int, command: click.Command = train
) -> dict[str, str]:
    """The overheads that ``train ARGUMENTS`` needs and ``settings`` leave out, for who submits it.

    Images that can't be looked at from here are taken for small ones; once they are read, the training itself checks again.

    Args:
        arguments: Of the command.
        settings: Spark's, as far as they are known.
        executors: How many are asked for.
        command: What trains: `train`, or another with the same options.

    Raises:
        ResourceError: if the settings contradict themselves even so. Where only memory is too small, ``--ignore-memory-plan`` among
            the arguments lets it pass.
    """
    from sparkweave.deploy.survey import Survey
    from sparkweave.spark.memory import containers_of, refusal

    options = command.make_context(command.name, list(arguments)).params
    containers = containers_of(settings)
    try:
        found = _survey({**options, "images": None, "classes": None})
    except (DataError, ResourceError):
        height, width = options["image_size"] or _SMALL_IMAGE
        found = Survey(executors * containers.slots, (int(options["channels"] or 1), height, width), _FEW_CLASSES)
    asked = _plan(options, found, containers, executors=executors)
    filled = asked.with_overheads()
    refuse_contradictions(filled.misfits())
    findings = filled.findings()
    if findings and not options["ignore_memory_plan"]:
        raise ResourceError(refusal([str(finding) for finding in findings]))
    return overheads_added(asked, filled)


def overheads_added(asked: MemoryPlan, filled: MemoryPlan) -> dict[str, str]:
    """Spark's settings for what `MemoryPlan.with_overheads` added."""
    before, after = asked.containers, filled.containers
    added = {
        "spark.executor.memoryOverhead": (before.executor_overhead, after.executor_overhead),
        "spark.driver.memoryOverhead": (before.driver_overhead, after.driver_overhead),
    }
    return {name: spark_size(new) for name, (old, new) in added.items() if old is None and new is not None}


def _plan(options: dict[str, Any], found: Survey, containers: Containers, *, executors: int) -> MemoryPlan:
    from sparkweave.deploy.memory_plan import MemoryPlan, Workload
    from sparkweave.networks import describe_network
    from sparkweave.spark.memory import footprint_of

    config, strategy = training_config(options), make_strategy(options)
    network = describe_network(options["network"])
    footprint = footprint_of(network, strategy, config, found.shape, found.classes, threads=containers.task_cpus)
    workload = Workload(
        footprint=footprint,
        batch_size=config.batch_size,
        prefetch=config.prefetch,
        images=found.images,
        shape=found.shape,
        workers=config.workers or executors * containers.slots,
        native_memory=config.native_memory,
    )
    return MemoryPlan(workload, dataclasses.replace(containers, executors=executors))


def _containers(options: dict[str, Any]) -> Containers:
    from sparkweave.spark.memory import containers_of, executors_of

    settings = {
        "spark.executor.memory": spark_size(options["executor_memory"]),
        "spark.executor.cores": str(options["executor_cores"]),
        "spark.task.cpus": str(options["task_cpus"]),
        "spark.driver.memory": spark_size(options["driver_memory"]),
        "spark.submit.deployMode": options["deploy_mode"],
    }
    for name, setting in (("executor", "spark.executor.memoryOverhead"), ("driver", "spark.driver.memoryOverhead")):
        if options[f"{name}_memory_overhead"]:
            settings[setting] = spark_size(options[f"{name}_memory_overhead"])
    conf = dict(options["conf"])
    containers = containers_of({**settings, **conf})
    return dataclasses.replace(
        containers,
        executors=executors_of(conf),
        largest_container=options["yarn_maximum"] or containers.largest_container,
    )


def _text(asked: MemoryPlan, advised: MemoryPlan, found: Survey) -> str:
    channels, height, width = found.shape
    images = f"{found.images:,} images of {height}x{width}, {channels} channel{'s' if channels > 1 else ''}, {found.classes} classes"
    lines = [f"{images}; {asked.workload.workers} workers, {asked.workers_an_executor} an executor"]
    for part, title in _TITLES.items():
        rows = [row for row in asked.rows() if row.part == part]
        total = [f"  {'=':<36} {show_size(asked.worker):>10}"] if part == "worker" else []
        lines += ["", title, *(f"  {row.what:<36} {show_size(row.size):>10}   {row.how}" for row in rows), *total]
    settings = [f"  --conf {name}={value}" for name, value in advised.settings().items()]
    limit = f"  --native-memory {spark_size(advised.native_limit)}"
    return "\n".join(
        [
            *lines,
            "",
            "Settings that suffice, for spark-submit or sparkweave submit",
            *settings,
            "and for sparkweave train",
            limit,
        ]
    )


def _document(
    asked: MemoryPlan, advised: MemoryPlan, found: Survey, findings: list[str], assumed: dict[str, str]
) -> dict[str, Any]:
    return {
        "images": dataclasses.asdict(found),
        "workers": asked.workload.workers,
        "workers_an_executor": asked.workers_an_executor,
        "rows": [dataclasses.asdict(row) for row in asked.rows()],
        "worker_bytes": asked.worker,
        "overhead_needed_bytes": asked.overhead_needed,
        "container_bytes": asked.containers.container,
        "settings": advised.settings(),
        "native_memory_bytes": advised.native_limit,
        "assumed": assumed,
        "findings": findings,
    }
