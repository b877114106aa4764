"""A machine that runs short of memory, threads or files: said as that, and no sound file is blamed."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from registration_pipeline.cli.errors import report
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.state.markers import FileSet
from registration_pipeline.state.parquet import ParquetPartWriter
from registration_pipeline.state.shortage import shortage

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False)])
READ = """
import resource, sys
from pathlib import Path
from registration_pipeline.errors import StateCorruptError, StateError
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.state.parquet import Part, read_parts

kind, limit, root, name, rows = sys.argv[1:]
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
which, most = (resource.RLIMIT_AS, used + int(limit)) if kind == "memory" else (resource.RLIMIT_NOFILE, int(limit))
resource.setrlimit(which, (most, most))
part = Part.from_json({"name": name, "rows": int(rows), **eval(sys.stdin.read())})
try:
    print(sum(batch.num_rows for batch in read_parts(LocalStateStore(Path(root)), [part])))
except StateError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads how much is used the way Linux shows it")
@pytest.mark.parametrize(
    ("kind", "limit", "says"),
    [("memory", 4 << 20, "ran short of memory, threads or open files"), ("files", 3, "Too many open files")],
    ids=["memory", "open files"],
)
def test_a_sound_file_is_not_blamed_for_what_the_machine_lacks(
    tmp_path: Path, kind: str, limit: int, says: str
) -> None:
    store = LocalStateStore(tmp_path)
    with ParquetPartWriter(FileSet(store, "fleet/inventory/x"), SCHEMA) as writer:
        for start in range(0, 400_000, 50_000):
            keys = [f"{number:0200d}" for number in range(start, start + 50_000)]
            writer.write(pa.RecordBatch.from_arrays([pa.array(keys)], schema=SCHEMA))
        (part,) = writer.finish()
    described = part.to_json()

    done = subprocess.run(
        [sys.executable, "-c", READ, kind, str(limit), str(tmp_path), part.name, str(part.rows)],
        input=repr(described),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout.startswith("StateError "), done.stdout + done.stderr
    assert says in done.stdout
    assert "Restore" not in done.stdout


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        pa.ArrowMemoryError("malloc of size 64 failed"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError("Memory mapping file failed: Cannot allocate memory"),
        pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
        RuntimeError("can't start new thread"),
        OSError(errno.EMFILE, "Too many open files"),
    ],
    ids=["Python", "Arrow", "system", "mapping", "Arrow's threads", "Python's threads", "files"],
)
def test_a_shortage_ends_a_command_with_status_4_and_no_report_of_a_bug(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    outer = RuntimeError("a step failed")
    outer.__cause__ = error

    assert report(outer) == 4
    said = capsys.readouterr().err
    assert "Nothing is lost" in said
    assert "bug" not in said


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EACCES, "Permission denied"), pa.ArrowInvalid("Not a Parquet file"), ValueError("x"), EOFError()],
    ids=["permission", "damaged", "value", "end"],
)
def test_other_errors_are_no_shortage(error: Exception) -> None:
    assert shortage(error) is None
