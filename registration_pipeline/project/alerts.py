"""What happened to a source of a loaded configuration, given to ``notify``: the end of a run, and troubles of runs.

What does not belong here: noticing runs of Dagster (``orchestration/alerts.py``), and whether something is news (``notify``).
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.layout import failure_log_folder, failures_name, inventory_folder, reports_folder
from registration_pipeline.state.owned import own_names

if TYPE_CHECKING:
    from registration_pipeline.notify import IncidentKind
    from registration_pipeline.notify.sending import Patience
    from registration_pipeline.tracking.failures.files import FailureRow

UI_VARIABLE: Final = "DAGSTER_UI_URL"
"""The address of the Dagster UI in the environment, for links to runs: Dagster itself does not know it."""

Warn = Callable[[str], object]
_TIME: Final = re.compile(r"\d{8}T\d{6}")


def alert_end(
    project: Project,
    source: SourceSettings,
    warn: Warn,
    *,
    run_id: str | None = None,
    has_listed: bool = True,
    has_failure_log: bool = True,
) -> bool:
    """Send a message if the end of a run is news: new failures, or all is well again. Nothing that goes wrong is raised.

    Args:
        project: the configuration.
        source: which.
        warn: takes a sentence about what could not be sent.
        run_id: of the run, where Dagster runs it.
        has_listed: whether the run listed the bucket; one that only submits does not end a missed night.
        has_failure_log: whether the run wrote the failure log of the source.
    """
    if not project.settings.notify:
        return False
    from registration_pipeline.notify import Incident, IncidentKind, deliver

    def counts() -> Mapping[str, Any]:
        return project.status(source).as_json()

    def failure_log(first: "FailureRow | None") -> str | None:
        return _newest_log(project, source) if has_failure_log else _log_of_chunk(project, source, first)

    incident = Incident(
        source=source.name,
        kind=IncidentKind.ENDED,
        at=utc_now(),
        run_id=run_id,
        run_url=run_url(project.environ, run_id),
        counts=cache(counts),
        failures=lambda: project.failures(source),
        failure_log=failure_log,
        report=lambda: _newest(project, reports_folder(source.name), ".html"),
        has_listed=has_listed,
    )
    return deliver(project.store, project.settings, source, incident, environ=project.environ, warn=warn)


def alert_trouble(
    project: Project,
    source: SourceSettings,
    kind: "IncidentKind",
    warn: Warn,
    *,
    at: datetime,
    run_id: str | None = None,
    error: str | None = None,
    due_at: datetime | None = None,
    last_sync_at: datetime | None = None,
    patience: "Patience | None" = None,
) -> bool:
    """Send a message if a trouble is news; arguments as ``notify.Incident`` and ``notify.deliver`` have them."""
    if not project.settings.notify:
        return False
    from registration_pipeline.notify import Incident, deliver
    from registration_pipeline.notify.sending import PATIENT

    incident = Incident(
        source=source.name,
        kind=kind,
        at=at,
        run_id=run_id,
        run_url=run_url(project.environ, run_id),
        error=error,
        due_at=due_at,
        last_sync_at=last_sync_at,
    )
    return deliver(
        project.store,
        project.settings,
        source,
        incident,
        environ=project.environ,
        warn=warn,
        patience=patience or PATIENT,
    )


def send_again(project: Project, source: SourceSettings, warn: Warn, *, now: datetime) -> None:
    """Send the messages of a source that did not arrive, each channel once. Nothing that goes wrong is raised."""
    if not project.settings.notify:
        return
    from registration_pipeline.notify import send_again as send
    from registration_pipeline.notify.sending import BRIEF

    send(
        project.store,
        project.settings,
        source,
        environ=project.environ,
        warn=warn,
        clock=lambda: now,
        patience=BRIEF,
    )


def channel_names(project: Project) -> list[str]:
    """Return what the channels of the configuration are called: kind and host, or mail address."""
    from registration_pipeline.notify.channels.targets import open_channels

    return list(open_channels(project.settings.notify, project.environ))


def send_test(project: Project) -> "dict[str, str | None]":
    """Send a test message to every channel, and return by channel why it was not taken; None: it was."""
    from registration_pipeline.notify import try_channels

    return try_channels(project.settings, environ=project.environ, at=utc_now())


def last_sync_at(project: Project, source: SourceSettings) -> datetime | None:
    """Return when the last sync that came to its end began: the newest inventory before the newest failure log.

    Returns:
        None: no sync has come to its end.

    Raises:
        StateError: the state can't be read.
    """
    store = project.store
    logs = [_time_of(name.rsplit("/", 1)[-1]) for name in own_names(store, failure_log_folder(source.name))]
    ended = max((time for time in logs if time is not None), default=None)
    if ended is None:
        return None
    begun = (_time_of(inventory_id) for inventory_id in store.folders(inventory_folder(source.name)))
    return max((time for time in begun if time is not None and time <= ended), default=None)


def _time_of(name: str) -> datetime | None:
    """Return the time that the name of an inventory or of a failure log begins with."""
    match = _TIME.match(name)
    return datetime.strptime(match[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) if match else None


def run_url(environ: Mapping[str, str], run_id: str | None) -> str | None:
    """Return the address of a run in the Dagster UI, if the environment says where that is."""
    address = environ.get(UI_VARIABLE, "").rstrip("/")
    return f"{address}/runs/{run_id}" if run_id and address.startswith(("http://", "https://")) else None


def no_link_to_runs(environ: Mapping[str, str]) -> str | None:
    """Return why messages have no link to their run, and what to do, as a clause; None: they have one."""
    if run_url(environ, "run") is not None:
        return None
    return f"messages have no link to the run, because {UI_VARIABLE} is not the address of the Dagster UI (http://… or https://…)"


def _newest_log(project: Project, source: SourceSettings) -> str | None:
    return _newest(project, failure_log_folder(source.name), ".csv")


def _newest(project: Project, folder: str, suffix: str) -> str | None:
    """Return where the newest file of a folder of the state is; the names begin with their time."""
    name = max((name for name in own_names(project.store, folder) if name.endswith(suffix)), default=None)
    return project.store.location(name) if name else None


def _log_of_chunk(project: Project, source: SourceSettings, first: "FailureRow | None") -> str | None:
    """Return the failure log of a chunk: a backfill writes one for each, and none of the source."""
    if first is None or first.chunk_id is None:
        return None
    name = failures_name(source.name, first.chunk_id, first.attempt, "csv")
    return project.store.location(name) if project.store.exists(name) else None
