"""Starts and stops a sandbox: in the background for tests and the demo, in the foreground for the command line.

What does not belong here: anything about the API.
"""

from __future__ import annotations

import json
import signal
import socket
import threading
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.app import build_app
from registration_pipeline.sandbox.config import DEFAULT_INTEGRATION_TITLE, SandboxConfig
from registration_pipeline.sandbox.connections import Connections
from registration_pipeline.sandbox.database import Database
from registration_pipeline.sandbox.fault_plan import FaultPlan, FaultRecord
from registration_pipeline.sandbox.jobs import JobBoard, JobRunner
from registration_pipeline.sandbox.keys import KEY_FILE, authorised_user, ensure_key_pair
from registration_pipeline.sandbox.rules import RULES_FILE, UnitRule, write_rules
from registration_pipeline.sandbox.service import Service

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType, TracebackType

    from registration_pipeline.sandbox.faults import Fault, RandomFaults

STOP_SECONDS = 5
"""Requests under way get so long to end when the sandbox stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredItem:
    """An item as it was registered: ``urls`` are the submitted strings."""

    uuid: str
    name: str
    item_type: str
    urls: tuple[str, ...]
    client_metadata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """An upload job as the sandbox has it, oldest first in listings."""

    uuid: str
    folder_uuid: str
    file_name: str | None
    status: str
    units: int
    done: int
    failed: int
    skipped: int
    cancelled: int
    fate: str | None
    """What a fault made of it."""


class Sandbox:
    """A running local Encord; a context manager that stops it at the end.

    Args:
        config: see ``SandboxConfig``.

    Raises:
        UsageError: if the port is taken or another sandbox runs on the data directory.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self._stopped = False
        config.data.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            self._database = Database(config.data)
            undo.callback(self._database.close)
            self._socket = _listen(config.host, config.port)
            undo.callback(self._socket.close)
            self._port: int = self._socket.getsockname()[1]
            _ensure_integrations(self._database, config)
            lines = (ensure_key_pair(config.data), *config.authorised_keys)
            authorised = dict(map(authorised_user, lines))
            self._plan = FaultPlan(self._database)
            undo.pop_all()
        self._board = JobBoard()
        self._runner = JobRunner(config, self._database, self._board)
        service = Service(
            config=config,
            database=self._database,
            board=self._board,
            runner=self._runner,
            authorised=authorised,
            plan=self._plan,
            connections=Connections(),
        )
        self._server = uvicorn.Server(_server_config(service))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="sandbox-http", daemon=True
        )
        self._runner.start()
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """What to give the SDK as ``domain``."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self.port}"

    @property
    def private_key_path(self) -> Path:
        """An authorised private key in OpenSSH form."""
        return self.config.data.resolve() / KEY_FILE

    def plant(self, *rules: UnitRule) -> None:
        """Replace the planted failures of ``rules.json``; they hold for the jobs started from now on."""
        write_rules(self.config.data / RULES_FILE, rules)

    def script(self, *faults: Fault) -> list[int]:
        """Put faults in force, after those that are; returns their ids."""
        return self._plan.script(*faults)

    def randomise(self, profile: RandomFaults | None) -> None:
        """Strike requests by chance from now on, instead of by the profile before; None: no longer."""
        self._plan.randomise(profile)

    def clear_faults(self) -> None:
        """Put no fault in force. What struck so far stays counted."""
        self._plan.clear()

    def fault_counts(self) -> dict[str, int]:
        """How often each way of failing struck since the data directory was made, most often first."""
        self._require_running()
        return self._plan.counts()

    def fault_records(self, limit: int | None = None) -> list[FaultRecord]:
        """What struck, latest first."""
        self._require_running()
        return self._plan.records(limit)

    def integration_uuid(self, title: str = DEFAULT_INTEGRATION_TITLE) -> str:
        """UUID of an integration.

        Raises:
            UsageError: if there is none of that title.
        """
        rows = self._query("SELECT uuid FROM integrations WHERE title = ?", title)
        if not rows:
            raise UsageError(f"the sandbox has no integration titled {title!r}; name it in SandboxConfig.integrations")
        return str(rows[0]["uuid"])

    def folder_items(self, folder_uuid: object) -> list[RegisteredItem]:
        """What is directly in a folder, oldest first."""
        rows = self._query(
            "SELECT items.* FROM items JOIN folders ON folders.id = folder_id WHERE folders.uuid = ? ORDER BY items.id",
            str(folder_uuid),
        )
        return [
            RegisteredItem(
                uuid=row["uuid"],
                name=row["name"],
                item_type=row["item_type"],
                urls=_urls(row),
                client_metadata=row["client_metadata"],
            )
            for row in rows
        ]

    def duplicates(self) -> dict[str, list[str]]:
        """URLs registered more than once, by folder UUID; of groups, the first URL."""
        rows = self._query(
            "SELECT folders.uuid AS folder_uuid, identity, frames FROM items JOIN folders ON folders.id = folder_id"
            " GROUP BY folder_id, identity HAVING count(*) > 1 ORDER BY folder_id, identity"
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row["folder_uuid"], []).append(_urls(row)[0])
        return found

    def jobs(self) -> list[JobRecord]:
        """Every upload job, oldest first."""
        rows = self._query(
            "SELECT jobs.*, folders.uuid AS folder_uuid FROM jobs JOIN folders ON folders.id = folder_id ORDER BY jobs.id"
        )
        names = (
            "uuid",
            "folder_uuid",
            "file_name",
            "status",
            "units",
            "done",
            "failed",
            "skipped",
            "cancelled",
            "fate",
        )
        return [JobRecord(**{name: row[name] for name in names}) for row in rows]

    def stop(self) -> None:
        """Stop answering, end after the transactions under way, close the database. Pending jobs stay pending."""
        if self._stopped:
            return
        self._stopped = True
        self._board.close()
        self._server.should_exit = True
        self._thread.join()
        self._runner.stop()
        self._socket.close()
        self._database.close()

    def _require_running(self) -> None:
        if self._stopped:
            raise UsageError("the sandbox is stopped; ask before it is, or start it again on the same data directory")

    def _query(self, statement: str, *values: Any) -> list[Any]:
        self._require_running()
        with self._database.reading() as connection:
            return connection.execute(statement, values).fetchall()


def _urls(row: Any) -> tuple[str, ...]:
    return tuple(json.loads(row["frames"])) if row["frames"] else (row["identity"],)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Listening at once: whoever connects before the server runs waits in the backlog instead of being refused.
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise UsageError(f"can't listen on {host}:{port}: {error.strerror}; choose another port") from error
    return listener


def _server_config(service: Service) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(service),
        http=service.connections.protocol(),
        proxy_headers=False,  # the peer's address is what connections are found by
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _ensure_integrations(database: Database, config: SandboxConfig) -> None:
    with database.writing() as connection:
        for integration in config.integrations:
            connection.execute(
                "INSERT INTO integrations (uuid, title) VALUES (?, ?) ON CONFLICT (title) DO NOTHING",
                (str(uuid.uuid4()), integration.title),
            )


def banner(sandbox: Sandbox) -> str:
    """What the command line prints when the sandbox is up."""
    return f"""\
Encord sandbox at {sandbox.url}, data in {sandbox.config.data.resolve()}
A rehearsal here proves wire compatibility and the pipeline's own recovery, not Encord's undocumented behaviour.

  export ENCORD_DOMAIN={sandbox.url}
  export ENCORD_SSH_KEY_FILE={sandbox.private_key_path}

Integration: {", ".join(integration.title for integration in sandbox.config.integrations)}. Stop with Ctrl-C.
"""


def connection(sandbox: Sandbox) -> dict[str, object]:
    """What a program needs to use the sandbox: the command's ``--json``."""
    return {
        "domain": sandbox.url,
        "ssh_key_file": str(sandbox.private_key_path),
        "data": str(sandbox.config.data.resolve()),
        "integrations": [integration.title for integration in sandbox.config.integrations],
    }


def serve(config: SandboxConfig, *, as_json: bool = False) -> None:
    """Run a sandbox in the foreground until SIGINT or SIGTERM.

    Args:
        as_json: print how to connect as one JSON document instead of for people.

    Raises:
        UsageError: if the port is taken or another sandbox runs on the data directory.
    """
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Sandbox(config) as sandbox:
            said = json.dumps(connection(sandbox), indent=2) if as_json else banner(sandbox)
            print(said, flush=True)  # noqa: T201 - this is the command's output
            ended.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
