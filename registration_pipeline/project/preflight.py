"""Checks everything that a sync of a source needs, and says what is missing. What it writes to try it, it removes again.

What belongs here is the list of checks that need no Dagster; errors and their ways out come from the listers and the gateway.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.bounds.calls import TooLongError, within
from registration_pipeline.errors import (
    ConfigurationError,
    CredentialsError,
    PermissionDeniedError,
    RegistrationPipelineError,
    ServiceUnavailableError,
    StateError,
)
from registration_pipeline.project.alerts import channel_names, no_link_to_runs
from registration_pipeline.project.facts.checks import find_libraries, find_tables, needs_headers, try_header
from registration_pipeline.project.metadata_schema import try_schema
from registration_pipeline.project.project import Project
from registration_pipeline.settings import MediaMetadata, SourceSettings
from registration_pipeline.state.trial import try_writing
from registration_pipeline.state.version import require_layout
from registration_pipeline.urls import url_warning

if TYPE_CHECKING:
    import pyarrow as pa

INSTANCE = "Dagster instance"
"""What the shell checks besides."""
SAME_FOR_ALL = frozenset({"configuration", "state", "messages", INSTANCE})
"""What is checked for all sources at once, as far as the answer is the same."""
_TRIES = 3  # a person waits for a preflight
_AGAIN = "Check again later."
"""What to do about an Encord that does not respond: a check has nothing that could be lost."""
_CHECK_SECONDS = {"state": 15.0, "bucket": 25.0}
"""For each check as a whole, whatever the services behind it do: a source whose services are all silent takes 90 s."""
_LISTING_SECONDS = 5.0
"""For listing the state: a part of its seconds."""
_ENCORD_SECONDS = 20.0
"""For asking Encord again, besides the time that one reply may take."""
_ENCORD_UNREACHABLE = (ServiceUnavailableError, CredentialsError, ConfigurationError)


@dataclass(frozen=True)
class Remark:
    """What a check returns instead of a text if a person should know something that keeps no sync from running."""

    detail: str


Check = Callable[[], str | Remark]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        what: what was checked, e.g. ``bucket``.
        detail: what was found, or what is wrong and what to do.
        error: None when all is well.
        was_checked: False if the check was left out, because another one failed.
        is_remark: True if nothing is wrong, and ``detail`` says what may not be what was meant.
    """

    source: str
    what: str
    detail: str
    error: RegistrationPipelineError | None = None
    was_checked: bool = True
    is_remark: bool = False


def run_checks(
    project: Project, source: SourceSettings, besides: Mapping[str, Check] | None = None
) -> Iterator[Finding]:
    """Yield a finding for everything from the configuration to Encord's folder; continue after a problem.

    Args:
        project: the configuration.
        source: which.
        besides: checks of the shell, by what they check; they come after the state. Each returns what it found or raises, in
            a time that it limits itself.
    """
    listed: list[pa.RecordBatch] = []
    checks: dict[str, Check] = {
        "configuration": lambda: _configuration(project, source),
        "state": lambda: _state(project, source),
        **({"messages": lambda: _messages(project)} if project.settings.notify else {}),
        **(besides or {}),
        "bucket": lambda: _bucket(project, source, listed),
    }
    for what, check in checks.items():
        name = "directory" if what == "bucket" and source.location.scheme == "file" else what
        found = _finding(source, name, check, _CHECK_SECONDS.get(what))
        yield found
    if found.error is None and needs_headers(source, listed):  # a bucket that is silent would be waited for twice
        yield _finding(source, "headers", lambda: try_header(project, source, listed), _CHECK_SECONDS["bucket"])
    if source.media_metadata is MediaMetadata.PROBE:
        yield _finding(source, "media", lambda: find_libraries(source))
    if any(entry.table is not None for entry in source.metadata):
        yield _finding(source, "tables", lambda: find_tables(project, source), _CHECK_SECONDS["bucket"])
    encord_seconds = project.settings.encord.timeout_seconds + _ENCORD_SECONDS
    encord = _finding(source, "key and integration", lambda: _integration(project, source), encord_seconds)
    yield encord
    if isinstance(encord.error, _ENCORD_UNREACHABLE):
        # Another call would wait as long again and fail in the same way.
        others = {
            "folder": True,
            "metadata schema": bool(source.metadata_schema),
            "dataset": source.dataset is not None,
        }
        for what in (what for what, is_wanted in others.items() if is_wanted):
            yield Finding(source.name, what, "because Encord can't be asked", was_checked=False)
        return
    yield _finding(source, "folder", lambda: _folder(project, source), encord_seconds)
    if source.metadata_schema:
        yield _schema(project, source, encord_seconds)
    if source.dataset is not None:
        yield _finding(source, "dataset", lambda: _dataset(project, source), encord_seconds)


def _finding(source: SourceSettings, what: str, check: Check, seconds: float | None = None) -> Finding:
    try:
        found = check() if seconds is None else within(seconds, check)
        if isinstance(found, Remark):
            return Finding(source.name, what, found.detail, is_remark=True)
        return Finding(source.name, what, found)
    except TooLongError as error:
        silent = ServiceUnavailableError(
            f"{error}. Check the network, proxies, and the address of what was asked: sources.{source.name}.uri and "
            "storage.endpoint_url for the bucket, `state` for the state, encord.domain for Encord. Then check again."
        )
        return Finding(source.name, what, str(silent), silent)
    except RegistrationPipelineError as error:
        return Finding(source.name, what, str(error), error)


def _messages(project: Project) -> str:
    no_link = no_link_to_runs(project.environ)
    said = f"{', '.join(channel_names(project))}; not tried: `registration-pipeline notify --test` sends a test message"
    return f"{said}; {no_link}" if no_link else said


def _configuration(project: Project, source: SourceSettings) -> str | Remark:
    valid, warning = f"{project.settings.path} is valid", url_warning(source)
    return Remark(f"{valid}; but {warning}") if warning else valid


def _state(project: Project, source: SourceSettings) -> str:
    uri = project.store.uri
    require_layout(project.store, source.name)
    if "://" in uri:
        project.store.require_exclusive_create()
        try_writing(project.store)
        # An object whose key can't be listed would halt every command. What takes longer to list is many files.
        with suppress(TooLongError):
            within(_LISTING_SECONDS, lambda: list(project.store.names(f"{source.name}/")))
        return f"{uri} can be read and written, and creates a file only once"
    try_writing(project.store)
    return f"{uri} can be read and written"


def _bucket(project: Project, source: SourceSettings, listed: "list[pa.RecordBatch]") -> str | Remark:
    lister = project.lister(source)
    if source.storage.inventory_report is not None:
        from registration_pipeline.inventory.reports.lister import ReportLister

        assert isinstance(lister, ReportLister)
        return _remarked(source, lister.check(), listed)  # its first row is known only when all are sorted
    first = next(iter(lister.list_objects()), None)
    if first is None or first.num_rows == 0:
        return Remark(
            f"{lister.description}: readable, but it has no objects; check the prefix in sources.{source.name}.uri"
        )
    listed.append(first)
    return _remarked(source, f"{lister.description}: readable", listed)


def _remarked(source: SourceSettings, found: str, listed: "list[pa.RecordBatch]") -> str | Remark:
    from registration_pipeline.project.remarks import bucket_remarks

    remarks = bucket_remarks(source, listed)
    return Remark("; but ".join([found, ". Also, ".join(remarks)])) if remarks else found


def _integration(project: Project, source: SourceSettings) -> str:
    title = source.encord.integration
    if title is None:
        # Any call shows whether the key is accepted; this one changes nothing.
        _with_retries("listing folders", lambda: project.gateway.find_folder(source.encord.folder))
        return "the key is accepted; the source needs no integration"
    uuid = _with_retries("finding the integration", lambda: project.gateway.resolve_integration(title))
    return f"the key is accepted; integration {title!r} is {uuid}"


def _folder(project: Project, source: SourceSettings) -> str:
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.known_folders import FolderFinder, KnownFolders
    from registration_pipeline.submission.shared_folder import refuse_shared_folder

    folder, retry, said = source.encord.folder, RetryPolicy(attempts=_TRIES, advice=_AGAIN), list[str]()
    try:
        known = project.known_folders(source)
    except StateError:  # which the check of the state says
        known = KnownFolders()
    finder = FolderFinder(gateway=project.gateway, retry=retry, source=source, known=known, notify=said.append)
    uuid = finder.find()
    if uuid:
        refuse_shared_folder(project.gateway, retry, project.settings, source, uuid)
    if said:
        return said[0]
    return f"folder {folder!r} is {uuid}" if uuid else f"folder {folder!r} does not exist; the first sync creates it"


def _schema(project: Project, source: SourceSettings, seconds: float) -> Finding:
    from registration_pipeline.submission.calls.retry import RetryPolicy

    retry = RetryPolicy(attempts=_TRIES, advice=_AGAIN)
    found = _finding(source, "metadata schema", lambda: try_schema(project, source, retry), seconds)
    if isinstance(found.error, PermissionDeniedError):
        # Only `schema` needs to read it: a sync does not.
        return Finding(source.name, found.what, f"because it may not be read: {found.detail}", was_checked=False)
    return found


def _dataset(project: Project, source: SourceSettings) -> str:
    from registration_pipeline.project.datasets import find_source_dataset
    from registration_pipeline.submission.calls.retry import RetryPolicy

    return find_source_dataset(project, source, RetryPolicy(attempts=_TRIES, advice=_AGAIN))


def _with_retries(what: str, call: Callable[[], str | None]) -> str | None:
    from registration_pipeline.submission.calls.retry import RetryPolicy

    return RetryPolicy(attempts=_TRIES, advice=_AGAIN).read(what, call)
