"""`sparkweave submit`: runs a command on a cluster, from a machine that can reach it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import platform
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import sparkweave
from sparkweave.cli.console import say, show
from sparkweave.cli.interrupts import on_interrupt
from sparkweave.cli.options import AT_LEAST_ONE, Setting, option
from sparkweave.cli.options_file import config_option
from sparkweave.cli.submit_rules import check_use, given_settings
from sparkweave.cli.submitted import Submitted, extras_of, fit_for_cluster, parse
from sparkweave.cli.train import check_use as check_training
from sparkweave.deploy.cluster_files import ClusterFiles
from sparkweave.deploy.launch import LOG_SETTINGS, Launched, Printed, follow, kill_application
from sparkweave.deploy.spark_home import spark_defaults, spark_submit
from sparkweave.deploy.spark_jars import ship_jars
from sparkweave.deploy.submission import IMAGE_MAIN, TRANSCRIPT, Submission, pasteable
from sparkweave.errors import ConfigError, ResourceError, SparkweaveError
from sparkweave.filesystem import is_local, local_path

COMMANDS = ("train", "evaluate", "predict", "stream", "verify", "doctor")
_PASSED_ON = (
    "num-executors",
    "executor-cores",
    "executor-memory",
    "driver-memory",
    "driver-cores",
    "total-executor-cores",
    "queue",
    "principal",
    "keytab",
)
_RUNS, _KEPT_SECONDS = "runs", 7 * 24 * 3600.0
_EXECUTORS = 2  # spark-submit's default
_MEMORY = {
    "executor_memory_overhead": "spark.executor.memoryOverhead",
    "driver_memory_overhead": "spark.driver.memoryOverhead",
}


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND [OPTIONS]...")
@option("--master", default="yarn", metavar="URL", help="Spark's master: yarn, spark://…, k8s://… or local[N].")
@option(
    "--deploy-mode",
    type=click.Choice(["client", "cluster"]),
    default="client",
    help="Where the driver runs: here, or there.",
)
@option("--num-executors", type=AT_LEAST_ONE, help="How many executors; each runs executor-cores workers.")
@option("--executor-cores", type=AT_LEAST_ONE, help="Cores of an executor.")
@option("--total-executor-cores", type=AT_LEAST_ONE, help="Cores of all executors, on spark://.")
@option("--executor-memory", metavar="SIZE", help="Heap of an executor, such as 1g.")
@option(
    "--executor-memory-overhead",
    metavar="SIZE",
    help="What an executor has beside its heap: Python and PyTorch live there.",
)
@option("--driver-memory", metavar="SIZE", help="Heap of the driver.")
@option("--driver-memory-overhead", metavar="SIZE", help="What the driver has beside its heap, in cluster mode.")
@option("--driver-cores", type=AT_LEAST_ONE, help="Cores of the driver, in cluster mode.")
@option("--queue", help="YARN's queue.")
@option("--name", help="The application's name.")
@option("--principal", help="Kerberos principal, for long runs on a secured cluster.")
@option("--keytab", metavar="FILE", help="Its keytab.")
@option(
    "--environment",
    metavar="ENV.tar.gz",
    help="What `sparkweave pack` wrote, here or on HDFS; without it this Python is packed, once.",
)
@option(
    "--module", "modules", multiple=True, metavar="PATH", help="Your own module, to be packed too; may be repeated."
)
@option(
    "--requirement",
    "requirements",
    multiple=True,
    metavar="NAME",
    help="A further distribution that is installed here, to be packed too; may be repeated.",
)
@option("--python", metavar="PATH", help="The nodes have this Python with sparkweave in it: nothing is packed.")
@option("--image", help="Container image, on Kubernetes.")
@option("--upload", is_flag=True, help="Bring archives on this machine's disk to HDFS, once each.")
@option(
    "--staging-dir", metavar="URL", help="Where on HDFS what is shipped is kept; without it .sparkweave in your home."
)
@option("--conf", type=Setting(), multiple=True, help="A Spark setting; may be repeated.")
@option("--detach", is_flag=True, help="In cluster mode, come back as soon as the application is accepted.")
@option("--dry-run", is_flag=True, help="Print the spark-submit command instead of running it.")
@config_option
@option("--debug", is_flag=True, help="Show the log of spark-submit, and the traceback of an error.")
def submit(**options: Any) -> None:
    """Run `sparkweave COMMAND` on a cluster: what stands after -- is the command as it would be run here.

    \b
    sparkweave submit --master yarn --deploy-mode cluster --num-executors 4 --executor-memory 1g --driver-memory 1g \\
      -- train hdfs:///data/train.zip --test hdfs:///data/test.zip --epochs 10 --output hdfs:///models/model.zip

    In cluster mode everything that the driver prints is printed here too, and its exit code is this command's. The nodes need no
    Python: this one is packed and shipped once. HADOOP_CONF_DIR has to name the cluster's settings.
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    submission = _prepare(click.get_current_context(), options)
    if options["dry_run"]:
        show(pasteable(submission.command(), {**_cluster_variables(), **_module_path(submission, options)}))
        return
    run = _run_there if submission.is_followed else _run_here
    if code := run(submission, options):
        raise click.exceptions.Exit(code)


def _prepare(context: click.Context, options: dict[str, Any]) -> Submission:
    """Everything that can be refused is refused before anything is packed or shipped."""
    program = context.find_root().command
    assert isinstance(program, click.Group)
    sys.path[:0] = _module_folders(options)  # the memory plan builds the network
    inner, command = parse(program, options["command"], COMMANDS)
    check_use(options)
    if command.name == "train":
        check_training(command.options)
    settings = {**spark_defaults(), **given_settings(options)}
    draft = _draft(options, command)
    if options["dry_run"] and options["upload"]:
        raise ConfigError("--dry-run ships nothing, and the command needs what --upload would: leave one of them out")
    if draft.master.startswith("local"):
        return draft
    requirements = _requirements(draft, options, command)
    conf = {**_memory_settings(draft, command, settings), **draft.conf}  # before anything is shipped: it may refuse
    files = ClusterFiles(options["staging_dir"])
    fitted = fit_for_cluster(
        inner,
        command,
        driver_in_cluster=draft.runs_driver_in_cluster,
        upload=functools.partial(_ship, files, "data") if options["upload"] else None,
    )
    draft = dataclasses.replace(draft, arguments=fitted.arguments, files=fitted.files, conf=conf)
    if draft.is_followed and not (options["dry_run"] or options["detach"]):  # nobody would read it, nor remove it
        draft = dataclasses.replace(draft, console=files.url(f"{_RUNS}/{secrets.token_hex(8)}/{TRANSCRIPT}"))
    return _with_code(draft, options, files, requirements)


def _requirements(draft: Submission, options: dict[str, Any], command: Submitted) -> list[str]:
    """What is packed beside what every command needs, where something is packed."""
    if draft.environment or draft.python or draft.master.startswith("k8s://"):
        return []
    extras = extras_of(command, driver_in_cluster=draft.runs_driver_in_cluster)
    return [*options["requirements"], *(f"sparkweave[{extra}]" for extra in extras)]


def _with_code(
    draft: Submission, options: dict[str, Any], files: ClusterFiles, requirements: Sequence[str]
) -> Submission:
    """With an environment, and one's own code before it: on HDFS for YARN; elsewhere Spark itself brings what is local."""
    if draft.master.startswith("k8s://") or (draft.python and not options["modules"]):
        return draft
    ships = draft.master == "yarn" and not options["dry_run"]
    if ships:
        files.has("")  # a cluster that can't be reached is told of now, and not after minutes of packing
    environment = draft.environment or (None if draft.python else str(_packed(options, requirements)))
    code = str(_code(options["modules"]))  # with any environment: driver and executors must run the same code
    if not ships:
        return dataclasses.replace(draft, environment=environment, code=code)
    return dataclasses.replace(
        draft,
        environment=environment and _ship(files, "environments", environment),
        code=_ship(files, "code", code),
        jars=None if draft.python else ship_jars(files, dict(options["conf"])),
    )


def _draft(options: dict[str, Any], command: Submitted) -> Submission:
    on_kubernetes = options["master"].startswith("k8s://")
    if on_kubernetes and not options["image"]:
        raise ConfigError(
            "on Kubernetes executors run in a container image; give --image (deploy/Dockerfile makes one)"
        )
    if options["environment"]:
        _check_environment(options["environment"])
    given = {name: options[name.replace("-", "_")] for name in _PASSED_ON}
    memory = {setting: options[name] for name, setting in _MEMORY.items() if options[name]}
    return Submission(
        program=str(spark_submit()),
        main=IMAGE_MAIN
        if on_kubernetes and options["deploy_mode"] == "cluster"
        else str(Path(sparkweave.__file__).with_name("__main__.py")),
        arguments=command.arguments,
        master=options["master"],
        deploy_mode=options["deploy_mode"],
        name=options["name"] or dict(options["conf"]).get("spark.app.name") or f"sparkweave {command.name}",
        environment=options["environment"],
        python=options["python"],
        image=options["image"],
        options={name: str(value) for name, value in given.items() if value is not None},
        conf={**memory, **dict(options["conf"])},
    )


def _memory_settings(draft: Submission, command: Submitted, settings: dict[str, str]) -> dict[str, str]:
    """The overheads that are needed and were not given.

    Raises:
        ResourceError: if the settings contradict themselves, of a training; see `sparkweave plan`.
    """
    if not draft.master.startswith(("yarn", "k8s://")):
        return {}
    from sparkweave.cli.plan import memory_settings
    from sparkweave.cli.scoring_plan import scoring_settings
    from sparkweave.cli.verify import verify
    from sparkweave.spark.memory import executors_of

    if "spark.task.resource.gpu.amount" in settings:  # workers on GPUs are not planned
        return {}
    executors = executors_of(settings) or _EXECUTORS
    if command.name == "verify":
        _require_room_for_driver(draft)
        return memory_settings(command.arguments[1:], settings, executors=executors, command=verify)
    if command.name == "train":
        return memory_settings(command.arguments[1:], settings, executors=executors)
    return scoring_settings(command.options, settings, executors=executors)


def _require_room_for_driver(draft: Submission) -> None:
    """Raises ConfigError if a driver that trains too would do so in a container of the usual size."""
    setting = _MEMORY["driver_memory_overhead"]
    if draft.runs_driver_in_cluster and setting not in draft.conf:
        raise ConfigError(
            "verify trains in the driver too, as many workers as there are, and in cluster mode that has a container of its own; "
            f"leave --deploy-mode at client, or say how much the driver may take ({setting}): --driver-memory-overhead 8g"
        )


def _check_environment(path: str) -> None:
    """Raises ConfigError or ArtifactError unless the packed environment at ``path`` fits this machine's Python."""
    if not is_local(path):
        return
    from sparkweave.deploy.pack import read_metadata

    packed = read_metadata(Path(path))["python"]
    here = platform.python_version()
    if packed.split(".")[:2] != here.split(".")[:2]:
        raise ConfigError(
            f"{path} has Python {packed}, and this machine runs {here}; Spark needs the same minor version on both: pack it"
            " again with this one"
        )


def _packed(options: dict[str, Any], requirements: Sequence[str]) -> Path:
    from sparkweave.deploy.default_environment import default_environment

    for_gpus = "spark.task.resource.gpu.amount" in dict(options["conf"])
    return default_environment(cpu=not for_gpus, report=say, requirements=requirements)


def _code(modules: Sequence[str]) -> Path:
    from sparkweave.deploy.code_archive import code_archive

    return code_archive([Path(module) for module in modules])


def _ship(files: ClusterFiles, folder: str, path: str) -> str:
    """The URL of a local file on HDFS, which is uploaded once; a URL stays as it is."""
    if not is_local(path):
        return path
    source = Path(local_path(path))
    url = files.url(files.shipped(source, folder))
    if files.ship(source, folder):
        say(f"Uploaded {source.name} ({source.stat().st_size / 1e6:,.1f} MB): {url}")
    return url


def _cluster_variables() -> dict[str, str]:
    return {name: os.environ[name] for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR") if name in os.environ}


def _module_folders(options: dict[str, Any]) -> list[str]:
    return [str(Path(module).resolve().parent) for module in options["modules"]]


def _module_path(submission: Submission, options: dict[str, Any]) -> dict[str, str]:
    """Where a driver on this machine finds the user's own modules."""
    if submission.runs_driver_in_cluster or not options["modules"]:
        return {}
    given = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    return {"PYTHONPATH": os.pathsep.join([*_module_folders(options), *given])}


def _run_here(submission: Submission, options: dict[str, Any]) -> int:
    from sparkweave.spark.session import jvm_environment

    environment = {**jvm_environment(verbose=options["debug"]), **_module_path(submission, options)}
    launched = Launched(submission, environment)
    with on_interrupt(launched.end):
        return launched.wait()


def _run_there(submission: Submission, options: dict[str, Any]) -> int:
    from sparkweave.spark.java import find_java, launch_environment
    from sparkweave.spark.session import QUICK_JVM

    java = find_java()
    settings = (
        f'{QUICK_JVM} "-Dlog4j2.configurationFile={LOG_SETTINGS}" {os.environ.get("SPARK_SUBMIT_OPTS", "")}'.strip()
    )
    with contextlib.suppress(ResourceError):  # of runs that nobody followed to their end; it can wait
        ClusterFiles(options["staging_dir"]).forget_old(_RUNS, seconds=_KEPT_SECONDS)
    run = ClusterFiles(submission.console.removesuffix(f"/{TRANSCRIPT}")) if submission.console else None
    launched = Launched(submission, {**launch_environment(java), "SPARK_SUBMIT_OPTS": settings})
    with on_interrupt(functools.partial(_ask_to_kill, launched, java)):
        printed = follow(
            launched,
            lambda: run.read(TRANSCRIPT) if run else None,
            told=say,
            show=lambda stream, text: show(text) if stream == "out" else say(text),
            log=say if options["debug"] else lambda _line: None,
            detach=options["detach"],
        )
    code = _end(launched, printed, detach=options["detach"])
    if run:
        run.remove("")
    return code


def _end(launched: Launched, printed: Printed, *, detach: bool) -> int:
    """Says what became of the application, and returns the exit code."""
    application = launched.application
    if not application.id:
        raise ResourceError(f"spark-submit did not get an application from YARN:\n{launched.reason()}")
    logs = f"Logs: {application.tracking_url or 'the ResourceManager'}, or `yarn logs -applicationId {application.id}`"
    if detach:
        launched.end()
    if detach and application.final_status not in ("FAILED", "KILLED"):
        say(f"{application.id} goes on without this command. {logs}")
        return 0
    if application.final_status == "SUCCEEDED":
        return printed.exit_code or 0
    if printed.exit_code is None:
        say(f"Error: the driver ended without a word: {_why(application.diagnostics)}")
    say(logs)
    return printed.exit_code or SparkweaveError.exit_code


def _why(diagnostics: str) -> str:
    from sparkweave.spark.failures import describe

    return describe(diagnostics) if diagnostics else "YARN gives no reason"


def _ask_to_kill(launched: Launched, java: Path) -> None:
    name = launched.application.id
    try:
        if name and sys.stdin.isatty() and click.confirm(f"\n{name} runs in the cluster. Kill it?", err=True):
            kill_application(name, java)
            say(f"{name} is killed.")
        elif name:
            say(f"{name} goes on; `yarn application -kill {name}` ends it.")
    finally:
        launched.end()
