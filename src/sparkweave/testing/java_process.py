"""A JVM that Python drives through py4j; it ends when this process does, however it ends: its standard input closes then."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from py4j.java_gateway import GatewayParameters, JavaGateway

from sparkweave.errors import ResourceError
from sparkweave.spark import class_archive

QUICK_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


def spark_options(java: Path) -> str:
    """Options with which Spark's own JVMs start fast: executors, application masters, daemons."""
    return " ".join([*QUICK_JVM, *class_archive.jvm_options(java)])


class JavaProcess:
    """A JVM with a gateway on loopback, under a secret of its own.

    Args:
        java: The ``java`` program.
        class_path: Jars and folders; py4j's jar among them.
        options: The JVM's options.
        environment: The whole environment of the process.
        output: The file for what it prints.
    """

    def __init__(
        self,
        java: Path,
        *,
        class_path: Sequence[Path],
        options: Sequence[str] = (),
        environment: Mapping[str, str],
        output: Path,
    ) -> None:
        command = [str(java), *QUICK_JVM, *options, "-cp", ":".join(map(str, class_path))]
        command += ["py4j.GatewayServer", "--die-on-broken-pipe", "--enable-auth", "0"]
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,  # Ctrl-C is for us to handle: what runs in there is stopped in order
            )
        self._gateway = self._connect(output)
        self.jvm: Any = self._gateway.jvm
        stream = self.jvm.java.io.PrintStream(self.jvm.java.io.FileOutputStream(str(output), True))  # noqa: FBT003
        self.jvm.java.lang.System.setOut(stream)  # nobody reads the pipe from here on

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the JVM lives."""
        return self._process.poll() is None

    def strings(self, values: Sequence[str]) -> Any:
        """A Java array of strings."""
        array = self._gateway.new_array(self.jvm.java.lang.String, len(values))
        for index, value in enumerate(values):
            array[index] = value
        return array

    def close(self) -> None:
        """Ends the JVM at once; its shutdown hooks don't run."""
        self._gateway.close()
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _connect(self, output: Path) -> JavaGateway:
        assert self._process.stdout is not None
        port, token = (self._process.stdout.readline().decode().strip() for _ in range(2))
        if not token:
            self._process.communicate()
            raise ResourceError(f"a JVM for tests did not start: {output.read_text(errors='replace').strip()[-2000:]}")
        parameters = GatewayParameters(port=int(port), auth_token=token, auto_convert=True)
        return JavaGateway(gateway_parameters=parameters)
