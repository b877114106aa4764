"""Fixtures that more than one stage needs: a real S3 endpoint on loopback, and a folder without root's privileges.

What does not belong here: fixtures of one stage; those live beside its tests.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import re
import shutil
import signal
import tempfile
import types
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import uvicorn.server
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from mypy_boto3_s3 import S3Client

    from registration_pipeline_tests.state_places import StateServers

# Every test below these folders starts servers, processes or stores: they are the slow tier as a whole (and one the tier in
# the browser). The fast tier doesn't even import them: each of its workers would spend seconds on moto, boto3 and their like.
SLOW_FOLDERS: Final = tuple(
    Path(__file__).parent / name for name in ("contract", "e2e", "integration", "orchestration/ui", "stores")
)
ALL_SLOW: Final = re.compile(r"^pytestmark = .*\bpytest\.mark\.slow\b", re.MULTILINE)
SLOW_PREFIXES: Final = tuple(f"{folder}{os.sep}" for folder in SLOW_FOLDERS)

# What takes longest, in this order: a file is one piece of work, and none of these may begin when the others have ended.
LONGEST: Final = (
    "test_fault_run.py",
    "test_one_ui.py",
    "test_nightly_sync.py",
    "test_celery_cluster.py",
    "test_demo_command.py",
    "test_model.py",
    "test_cli_interrupt.py",
    "test_killed_daemon.py",
    "test_two_hosts.py",
    "test_upserts.py",
    "test_interrupted_command.py",
    "test_interrupted_listing.py",
    "test_crash_run.py",
    "test_upsert_model.py",
    "test_cli_flipped_bits.py",
    "test_flipped_bits_of_states.py",
    "test_datasets.py",
    "test_two_syncs.py",
    "test_paused_runs.py",
    "test_sync_thousands.py",
    "test_cut_off_host.py",
    "test_compose_processes.py",
    "test_restored_backup.py",
    "test_media_samples.py",
    "test_last_moment.py",
    "test_rehearsal_endings.py",
    "test_manifest_agreement.py",
    "test_rehearsal_switches.py",
    "test_crash_sigkill.py",
)

REGION: Final = "eu-west-2"
NOBODY: Final = 65534

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C and hands that down to every child; children could not be interrupted then.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Examples are judged by what they show, not by the time they take: on a machine with other work both limits strike at random.
hypothesis_settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=15
)
hypothesis_settings.register_profile("thorough", hypothesis_settings.get_profile("project"), max_examples=1_000)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))


@pytest.fixture(autouse=True)
def no_configuration_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs inside the test process says in its environment which file it uses, for the runs that it starts."""
    monkeypatch.setenv("REGISTRATION_CONFIG", "")
    monkeypatch.delenv("REGISTRATION_CONFIG")


@pytest.fixture(scope="session", autouse=True)
def servers_that_stop_at_once() -> Iterator[None]:
    """Uvicorn notices every tenth of a second that it shall stop, and then waits another: hundreds of tests stop a sandbox."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.server, "asyncio", types.SimpleNamespace(**(vars(asyncio) | {"sleep": sleep})))
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once() -> Iterator[None]:
    """Dagster executes all its migration scripts again for each database of each instance and of each run that it opens."""
    from alembic.script import ScriptDirectory

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", functools.cache(ScriptDirectory.from_config))
        yield


@pytest.fixture(scope="session", autouse=True)
def memory_proven_once() -> Iterator[None]:
    """32 threads try each new state in a bucket, which is a third of a small sync: of all in memory, trying one is enough."""
    from obstore.store import MemoryStore

    from registration_pipeline.state import bucket, exclusive

    prove = exclusive.require_exclusive_create
    proven: list[bucket.BucketStateStore] = []

    def prove_once(store: bucket.BucketStateStore) -> None:
        is_memory = type(store) is bucket.BucketStateStore and isinstance(store._store, MemoryStore)
        if is_memory and proven:
            return
        prove(store)
        if is_memory:
            proven.append(store)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket, "require_exclusive_create", prove_once)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Search no garbage while everything is imported and collected, nor ever after among that: it lives to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what ``-m 'not slow'`` would only throw away again; None leaves it to others."""
    if "not slow" not in config.option.markexpr:
        return None
    return True if collection_path in SLOW_FOLDERS or is_slow_file(collection_path) else None


def is_slow_file(path: Path) -> bool:
    """Return whether a file says on one line that all its tests are slow; only reading it is cheaper than importing it."""
    is_of_tests = path.name.startswith("test_") and path.suffix == ".py"
    return is_of_tests and ALL_SLOW.search(path.read_text(encoding="utf-8")) is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of a slow folder: one that was forgotten would run in no tier."""
    for item in items:
        if str(item.path).startswith(SLOW_PREFIXES) and not item.get_closest_marker("ui"):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(specname="pytest_collection_modifyitems", trylast=True)
def longest_first(items: list[pytest.Item]) -> None:
    """Put the longest tests first: workers take tests from the list in order, and none of these must be left for the end."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


NOTED: Final = "noted"


@pytest.fixture
def note_line(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Have something printed at the end of the session, whichever worker the test ran on: what it counted."""
    return lambda text: record_property(NOTED, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests noted."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    noted = [
        text for report in reports if report.when == "call" for name, text in report.user_properties if name == NOTED
    ]
    if noted:
        terminalreporter.section("counts")
    for text in noted:
        terminalreporter.write_line(str(text))


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """A bucket of its own for one test."""

    name: str
    endpoint_url: str
    client: S3Client

    def put(self, key: str, body: bytes = b"x") -> None:
        """Put an object under exactly this key."""
        self.client.put_object(Bucket=self.name, Key=key, Body=body)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The URL of an S3 server on a free port of loopback, for the whole session."""
    from benchmarks.state_server import LateStore, start

    server = start(LateStore())
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def aws_environment(moto_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Dummy credentials, and no trace of the user's own, for one test. Returns the endpoint."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    nothing = str(tmp_path / "no-such-aws-configuration")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": moto_server,
        "AWS_CONFIG_FILE": nothing,
        "AWS_SHARED_CREDENTIALS_FILE": nothing,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return moto_server


@pytest.fixture
def s3_bucket(aws_environment: str) -> Callable[[], S3Bucket]:
    """A factory of new, empty buckets; each call makes one."""
    import boto3

    def make() -> S3Bucket:
        client = boto3.client("s3", endpoint_url=aws_environment, region_name=REGION)
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return S3Bucket(name, aws_environment, client)

    return make


@pytest.fixture
def plain_user_folder() -> Iterator[Path]:
    """A new folder of a user whom permissions bind, and that user for the rest of the test."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, -1)
        os.seteuid(NOBODY)
    yield folder
    if is_root:
        os.seteuid(0)
    for path, _, _ in os.walk(folder, onerror=None):
        Path(path).chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def state_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateServers]:
    """The servers that a state can be kept in, each started when a test asks for it."""
    from registration_pipeline_tests.state_places import StateServers

    with StateServers(tmp_path_factory.mktemp("state-servers")) as servers:
        yield servers
