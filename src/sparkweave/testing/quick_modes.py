"""Lets Hadoop's daemons set the modes of local files by themselves, as they do where Hadoop's native library is; no jar brings that.

Without it Hadoop starts the program ``chmod`` for each file: a node takes 50 s for an environment of 13,000 files that way. The few
lines of Java that Hadoop lacks are compiled by Janino, which comes with Spark: a Java runtime has no compiler.
"""

from __future__ import annotations

from pathlib import Path

from sparkweave.testing.hadoop_settings import write_settings
from sparkweave.testing.java_process import JavaProcess

_CLASS = "QuickLocalFs"
_SETTINGS = "quick-modes.xml"
_SOURCE = f"""
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.DelegateToFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

public class {_CLASS} extends DelegateToFileSystem {{
    public {_CLASS}(URI uri, Configuration configuration) throws java.io.IOException, java.net.URISyntaxException {{
        super(uri, new Raw(), configuration, "file", false);
    }}

    public int getUriDefaultPort() {{ return -1; }}

    public boolean isValidName(String name) {{ return true; }}

    public static class Raw extends RawLocalFileSystem {{
        public void setPermission(Path path, FsPermission permission) throws java.io.IOException {{
            Object mode = Integer.valueOf(permission.toShort());
            Files.setAttribute(pathToFile(path).toPath(), "unix:mode", mode, new LinkOption[0]);
        }}
    }}
}}
"""


def set_modes_quickly(process: JavaProcess, folder: Path) -> None:
    """Does so for all daemons that are started in ``process`` from now on.

    Args:
        process: A JVM with Hadoop and Janino, and with ``folder`` in its class path.
        folder: Where the compiled class goes.
    """
    compiler = process.jvm.org.codehaus.janino.SimpleCompiler()
    compiler.cook(_SOURCE)
    for name, code in compiler.getBytecodes().items():
        (folder / f"{name}.class").write_bytes(code)
    write_settings(folder / _SETTINGS, {"fs.AbstractFileSystem.file.impl": _CLASS})
    process.jvm.org.apache.hadoop.conf.Configuration.addDefaultResource(_SETTINGS)
