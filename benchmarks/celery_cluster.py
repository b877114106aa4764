"""A cluster on the loopback interface: Postgres, Redis, buckets, the sandbox, Dagster's services and Celery workers.

Each service and worker is a process with a home, a ``DAGSTER_HOME``, a working directory and a temporary folder of its own, as
on a machine of its own. What they share is behind addresses in the environment. The instance's configuration is the one
that is shipped in ``deploy/celery``, with shorter waits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.measure import clean_environment
from benchmarks.postgres_server import PostgresServer, postgres
from benchmarks.redis_server import RedisServer, free_port, redis_server
from benchmarks.servers import Server, listing_server, sandbox_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

SHIPPED = Path(__file__).parent.parent / "deploy" / "celery"
STATE_BUCKET = "registration-state"
START_SECONDS, END_SECONDS = 120, 5
_BIN = Path(sys.executable).parent
_NAMESPACES = ("unshare", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child")
_REGION = "eu-west-2"
_SOURCE = """\
  {name}:
    uri: s3://{name}/
    storage: {{region: {region}, endpoint_url: {endpoint}}}
    encord: {{integration: sandbox}}
    chunk_size: {{images: {chunk_size}}}
    max_in_flight: 8
    settle_seconds: 5
    key_ranges: {key_ranges}
    schedule: null
"""


@dataclass(frozen=True, slots=True)
class Size:
    """What a cluster works on.

    Args:
        sources: how many, each with a bucket and a folder in Encord of its own.
        objects: of each source.
        chunk_size: objects of an upload job.
        job_seconds: how long an upload job takes in Encord.
        jobs_at_once: how many of all sources Encord works on at once; a source has up to eight open.
        workers: Celery workers, one run at a time each.
        lost_seconds: the launcher's option; the shipped value is for machines that boot.
        persistent_broker: whether Redis writes its tasks to a file.
        key_ranges: steps that list a source.
    """

    sources: int
    objects: int
    chunk_size: int = 500
    job_seconds: float = 0.5
    jobs_at_once: int = 8
    workers: int = 3
    lost_seconds: int = 10
    persistent_broker: bool = True
    key_ranges: int = 1

    @property
    def names(self) -> list[str]:
        """The sources."""
        return [f"source-{number}" for number in range(self.sources)]

    @property
    def all_objects(self) -> int:
        """Objects of all sources together."""
        return self.sources * self.objects


@dataclass(slots=True)
class Cluster:
    """Running services; workers are started and killed one by one."""

    size: Size
    folder: Path
    postgres: PostgresServer
    redis: RedisServer
    sandbox: Server
    listing: Server
    state_endpoint: str
    code_port: int
    web_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        """Make the machine of a process, and return its environment."""
        home = self.folder / name
        folders = {"HOME": home, "DAGSTER_HOME": home / "dagster", "TMPDIR": home / "tmp"}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        (home / "registration.yaml").write_text(self._registration(), encoding="utf-8")
        (home / "workspace.yaml").write_text(self._workspace(), encoding="utf-8")
        (home / "dagster" / "dagster.yaml").write_text(self._instance(), encoding="utf-8")
        key = Path(self.sandbox.facts["key_file"]).read_text(encoding="utf-8")
        return {
            **clean_environment(),
            **{variable: str(folder) for variable, folder in folders.items()},
            "REGISTRATION_CONFIG": str(home / "registration.yaml"),
            "ENCORD_DOMAIN": self.sandbox.facts["url"],
            "ENCORD_SSH_KEY": key,
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_REGION": _REGION,
            "AWS_ENDPOINT_URL_S3": self.state_endpoint,
            "DAGSTER_PG_USERNAME": "postgres",
            "DAGSTER_PG_PASSWORD": "not-asked-for",
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(self.postgres.port),
            "DAGSTER_PG_DB": "postgres",
            "CELERY_BROKER_URL": self.redis.url,
            "CELERY_RESULT_BACKEND": f"db+postgresql://postgres@127.0.0.1:{self.postgres.port}/postgres",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(SHIPPED.parent.parent), os.environ.get("PYTHONPATH")])),
        }

    def start(self, name: str, *command: str) -> None:
        """Start a process on a machine of its own; what it prints is in its folder."""
        environ = self.environment(name)
        with (self.folder / name / "log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*_machine(name), str(_BIN / command[0]), *command[1:]],
                cwd=self.folder / name,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_worker(self, number: int) -> None:
        """Start a Celery worker for runs, and one for steps if there are any, as docs/deployment/celery.md says."""
        for kind, queue in (("worker", "dagster"), ("steps", "dagster-steps")):
            if kind == "worker" or self.size.key_ranges > 1:
                app = "registration_pipeline.orchestration.celery.app"
                options = ["--concurrency", "1", "--hostname", f"{kind}-{number}@%h", "--queues", queue]
                self.start(f"{kind}-{number}", "celery", "-A", app, "worker", *options, "--loglevel", "INFO")

    def start_services(self) -> None:
        """Start code server, daemon and web server."""
        module = "registration_pipeline.definitions"
        self.start(
            "code", "dagster", "code-server", "start", "-m", module, "-h", "127.0.0.1", "-p", str(self.code_port)
        )
        self.wait_for_port(self.code_port, "code")
        self.start("daemon", "dagster-daemon", "run", "-w", "workspace.yaml")
        self.start("web", "dagster-webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(self.web_port))
        self.wait_for_port(self.web_port, "web")

    def kill(self, name: str) -> None:
        """End all processes of a machine at once."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self, name: str) -> None:
        """Ask a process to end, and wait; then end what is left of it."""
        process = self.processes.pop(name)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end_all(self) -> None:
        """End every process that still runs."""
        for name in list(self.processes):
            self.end(name)

    def log_of(self, name: str) -> str:
        """Return what a process has printed."""
        return (self.folder / name / "log").read_text(encoding="utf-8", errors="replace")

    def wait_for_port(self, port: int, name: str) -> None:
        """Wait until something listens there."""
        import socket

        deadline = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert self.processes[name].poll() is None, self.log_of(name)
            assert time.monotonic() < deadline, self.log_of(name)
            time.sleep(0.1)

    def launch(self, job: str) -> str:
        """Launch a job as the UI does, and return the id of its run."""
        from dagster_graphql import DagsterGraphQLClient

        client = DagsterGraphQLClient("127.0.0.1", port_number=self.web_port)
        run_id: str = client.submit_job_execution(job, run_config={})
        return run_id

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Open the instance as a machine of its own would."""
        import dagster as dg

        from registration_pipeline.orchestration.private_dagster import InstanceRef

        environ = self.environment("console")
        before = dict(os.environ)
        os.environ.update({name: value for name, value in environ.items() if name.startswith(("DAGSTER_PG", "CELERY"))})
        try:
            with dg.DagsterInstance.from_ref(InstanceRef.from_dir(environ["DAGSTER_HOME"])) as opened:
                yield opened
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _registration(self) -> str:
        endpoint = self.listing.facts["endpoint_url"]
        chosen = {
            "region": _REGION,
            "endpoint": endpoint,
            "chunk_size": self.size.chunk_size,
            "key_ranges": self.size.key_ranges,
        }
        sources = "".join(_SOURCE.format(name=name, **chosen) for name in self.size.names)
        return f"state: s3://{STATE_BUCKET}/state\nexecutor: celery\nsources:\n{sources}"

    def _workspace(self) -> str:
        shipped: dict[str, Any] = yaml.safe_load((SHIPPED / "workspace.yaml").read_text(encoding="utf-8"))
        shipped["load_from"][0]["grpc_server"]["port"] = self.code_port
        return yaml.safe_dump(shipped)

    def _instance(self) -> str:
        shipped: dict[str, Any] = yaml.safe_load((SHIPPED / "dagster.yaml").read_text(encoding="utf-8"))
        shipped["run_launcher"]["config"]["lost_seconds"] = self.size.lost_seconds
        shipped["concurrency"]["runs"]["max_concurrent_runs"] = self.size.workers
        waits = {"poll_interval_seconds": 2, "start_timeout_seconds": 30, "free_slots_after_run_end_seconds": 2}
        shipped["run_monitoring"] |= waits
        return yaml.safe_dump(shipped)


@cache
def _has_namespaces() -> bool:
    """Return whether a process may have process ids and a host name of its own, as on another machine."""
    tried = subprocess.run([*_NAMESPACES, "true"], check=False, capture_output=True)
    return tried.returncode == 0


def _machine(name: str) -> list[str]:
    """Return what runs a command on a machine of this name; without the right to do so, on this one."""
    return [*_NAMESPACES, "sh", "-c", 'hostname "$0" && exec "$@"', name] if _has_namespaces() else []


@contextmanager
def cluster(size: Size, folder: Path) -> Iterator[Cluster]:
    """Run a cluster without workers."""
    with ExitStack() as stack:
        made = Cluster(
            size=size,
            folder=folder,
            postgres=stack.enter_context(postgres(free_port())),
            redis=stack.enter_context(redis_server(is_persistent=size.persistent_broker)),
            sandbox=stack.enter_context(
                sandbox_server(folder / "sandbox", job_seconds=size.job_seconds, workers=size.jobs_at_once)
            ),
            listing=stack.enter_context(listing_server("deep", size.objects)),
            state_endpoint="",
            code_port=free_port(),
            web_port=free_port(),
        )
        port = free_port()
        made.state_endpoint = f"http://127.0.0.1:{port}"
        stack.callback(made.end_all)
        made.start("bucket", "moto_server", "-H", "127.0.0.1", "-p", str(port))
        made.wait_for_port(port, "bucket")
        _make_bucket(made.state_endpoint)
        made.start_services()
        yield made


def _make_bucket(endpoint: str) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=_REGION,
        aws_access_key_id="benchmark",
        aws_secret_access_key="benchmark",
    )
    client.create_bucket(Bucket=STATE_BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    client.close()
