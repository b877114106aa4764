"""Starts and stops a sandbox: in the background for tests and the demo, in the foreground for the command line.

What does not belong here: anything about the API.
"""

from __future__ import annotations

import json
import signal
import threading
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.admin.api import build_admin
from registration_pipeline.sandbox.admin.insight import (
    DatasetRecord,
    Insight,
    JobRecord,
    RegisteredItem,
    ViolationRecord,
)
from registration_pipeline.sandbox.api.app import build_app
from registration_pipeline.sandbox.api.metadata_schema import keep_schema
from registration_pipeline.sandbox.api.service import Service
from registration_pipeline.sandbox.api.traffic import EndpointTraffic, Traffic
from registration_pipeline.sandbox.config import DEFAULT_INTEGRATION_TITLE, SandboxConfig
from registration_pipeline.sandbox.database import Database
from registration_pipeline.sandbox.faults.connections import Connections
from registration_pipeline.sandbox.faults.plan import FaultPlan, FaultRecord
from registration_pipeline.sandbox.jobs.runner import JobBoard, JobRunner
from registration_pipeline.sandbox.jobs.unit_rules import RULES_FILE, UnitRule, write_rules
from registration_pipeline.sandbox.keys import KEY_FILE, authorised_user, ensure_key_pair
from registration_pipeline.sandbox.listener import Listener

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType, TracebackType

    from registration_pipeline.sandbox.faults.random_profile import RandomFaults
    from registration_pipeline.sandbox.faults.values import Fault

ADMIN_HOST = "127.0.0.1"
"""The admin port asks for no credentials, so only this machine reaches it."""


def _admin_listener(port: int, *, or_free: bool) -> Listener:
    try:
        return Listener(ADMIN_HOST, port, what="admin port")
    except UsageError:
        if not or_free:
            raise
        return Listener(ADMIN_HOST, 0, what="admin port")


class Sandbox:
    """A running local Encord; a context manager that stops it at the end.

    Args:
        config: see ``SandboxConfig``.

    Raises:
        UsageError: if the port is in use or another sandbox runs on the data directory.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self._stopped = False
        config.data.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            self._database = Database(config.data)
            undo.callback(self._database.close)
            self._listener = Listener(config.host, config.port)
            undo.callback(self._listener.stop)
            self._admin: Listener | None = None
            if config.admin_port is not None:
                self._admin = _admin_listener(config.admin_port, or_free=config.admin_port_or_free)
                undo.callback(self._admin.stop)
            _ensure_integrations(self._database, config)
            lines = (ensure_key_pair(config.data), *config.authorised_keys)
            authorised = dict(map(authorised_user, lines))
            self._plan = FaultPlan(self._database)
            undo.pop_all()
        self._board, self._traffic = JobBoard(), Traffic()
        self._insight = Insight(self._database)
        self._runner = JobRunner(config, self._database, self._board)
        service = Service(
            config=config,
            database=self._database,
            board=self._board,
            runner=self._runner,
            authorised=authorised,
            plan=self._plan,
            connections=Connections(),
            traffic=self._traffic,
        )
        self._runner.start()
        # The peer's address, which connections are found by, must not be replaced by what a header says.
        self._listener.serve(build_app(service), http=service.connections.protocol(), proxy_headers=False)
        if self._admin is not None:
            self._admin.serve(build_admin(service, self._insight, domain=self.url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    @property
    def url(self) -> str:
        """What to give the SDK as ``domain``."""
        return self._listener.url

    @property
    def admin_url(self) -> str | None:
        """Where the admin page and its API are; None: ``SandboxConfig.admin_port`` is None."""
        return None if self._admin is None else self._admin.url

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
        uuid_ = self._ask.integration_uuid(title)
        if uuid_ is None:
            raise UsageError(f"the sandbox has no integration titled {title!r}; name it in SandboxConfig.integrations")
        return uuid_

    def folder_items(self, folder_uuid: object) -> list[RegisteredItem]:
        """What is directly in a folder, oldest first."""
        return self._ask.items(folder_uuid)

    def datasets(self) -> list[DatasetRecord]:
        """Every dataset, oldest first."""
        return self._ask.datasets()

    def links(self, dataset_uuid: object) -> list[str]:
        """The UUIDs of the items in a dataset, one for each of its rows, oldest first."""
        return self._ask.links(dataset_uuid)

    def rename_dataset(self, dataset_uuid: object, title: str) -> None:
        """Give a dataset another title, as a person can in Encord."""
        self._require_running()
        with self._database.writing() as connection:
            connection.execute("UPDATE datasets SET title = ? WHERE uuid = ?", (title, str(dataset_uuid)))

    def delete_dataset(self, dataset_uuid: object) -> None:
        """Delete a dataset, as a person can in Encord; its items stay."""
        self._require_running()
        with self._database.writing() as connection:
            connection.execute("DELETE FROM datasets WHERE uuid = ?", (str(dataset_uuid),))

    def duplicates(self) -> dict[str, list[str]]:
        """URLs registered more than once, by folder UUID; of groups, the first URL."""
        found: dict[str, list[str]] = {}
        for duplicate in self._ask.duplicates():
            found.setdefault(duplicate.folder_uuid, []).append(duplicate.url)
        return found

    def jobs(self) -> list[JobRecord]:
        """Every upload job, oldest first."""
        return self._ask.jobs()

    def violations(self) -> list[ViolationRecord]:
        """Manifests that were refused or accepted with a remark, latest first."""
        return self._ask.violations()

    def metadata_schema(self) -> dict[str, Any] | None:
        """The organisation's metadata schema, as the API gives it; None: there is none."""
        return self._ask.metadata_schema()

    def hold_metadata_schema(self, fields: dict[str, Any]) -> None:
        """Put a schema in force as it is, also one with types that the API of this version would refuse."""
        self._require_running()
        with self._database.writing() as connection:
            keep_schema(connection, fields)

    def requests(self) -> dict[str, EndpointTraffic]:
        """Requests by endpoint since this sandbox started, the busiest first."""
        return self._traffic.endpoints()

    def stop(self) -> None:
        """Stop answering, end after the transactions under way, close the database. Pending jobs stay pending."""
        if self._stopped:
            return
        self._stopped = True
        self._board.close()
        if self._admin is not None:
            self._admin.stop()
        self._listener.stop()
        self._runner.stop()
        self._database.close()

    @property
    def _ask(self) -> Insight:
        self._require_running()
        return self._insight

    def _require_running(self) -> None:
        if self._stopped:
            raise UsageError("the sandbox is stopped; ask before it is, or start it again on the same data directory")


def _ensure_integrations(database: Database, config: SandboxConfig) -> None:
    with database.writing() as connection:
        for integration in config.integrations:
            connection.execute(
                "INSERT INTO integrations (uuid, title) VALUES (?, ?) ON CONFLICT (title) DO NOTHING",
                (str(uuid.uuid4()), integration.title),
            )


def banner(sandbox: Sandbox) -> str:
    """What the command line prints when the sandbox is up."""
    covered = _opened(sandbox)
    opened = (
        f"Opened: {', '.join(covered)}. What does not begin like its type is refused; a file that is damaged further in is "
        "registered. Objects of other URLs are accepted unopened."
        if covered
        else "Objects are not opened: a broken or missing one is registered as well. `--open` opens those of the sources."
    )
    admin = "" if sandbox.admin_url is None else f"What it holds, and faults to plant: {sandbox.admin_url}/\n"
    return f"""\
Encord sandbox at {sandbox.url}, data in {sandbox.config.data.resolve()}
A rehearsal here proves wire compatibility and the pipeline's own recovery, not Encord's undocumented behaviour.

  export ENCORD_DOMAIN={sandbox.url}
  export ENCORD_SSH_KEY_FILE={sandbox.private_key_path}

{opened}
{admin}Integration: {", ".join(integration.title for integration in sandbox.config.integrations)}. Stop with Ctrl-C.
"""


def _opened(sandbox: Sandbox) -> list[str]:
    """Return which URLs are opened, for people."""
    return list(dict.fromkeys(reader.opened for one in sandbox.config.integrations for reader in one.readers))


def connection(sandbox: Sandbox) -> dict[str, object]:
    """What a program needs to use the sandbox: the command's ``--json``."""
    return {
        "domain": sandbox.url,
        "ssh_key_file": str(sandbox.private_key_path),
        "admin": sandbox.admin_url,
        "data": str(sandbox.config.data.resolve()),
        "integrations": [integration.title for integration in sandbox.config.integrations],
        "opened": _opened(sandbox),
    }


def serve(config: SandboxConfig, *, as_json: bool = False) -> None:
    """Run a sandbox in the foreground until SIGINT or SIGTERM.

    Args:
        as_json: print how to connect as one JSON document instead of for people.

    Raises:
        UsageError: if the port is in use or another sandbox runs on the data directory.
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
