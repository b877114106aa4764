"""Looks at everything that a sync of a source needs, without changing anything, and says what is missing.

What belongs here is the list of looks; the errors and their ways out come from the listers and the gateway.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.orchestration.project import Project
from registration_pipeline.settings import SourceSettings

_TRIES = 3  # a preflight is waited for by a person


@dataclass(frozen=True)
class Finding:
    """The result of one look.

    Args:
        what: what was looked at, e.g. ``bucket``.
        detail: what was found, or what is wrong and what to do.
        error: None when all is well.
    """

    source: str
    what: str
    detail: str
    error: RegistrationPipelineError | None = None


def look_at(project: Project, source: SourceSettings) -> Iterator[Finding]:
    """Yield a finding for the state, the bucket, the key, the integration and the folder; go on after a problem."""
    looks: dict[str, Callable[[], str]] = {
        "state": lambda: _state(project, source),
        "bucket": lambda: _bucket(project, source),
        "key and integration": lambda: _integration(project, source),
        "folder": lambda: _folder(project, source),
    }
    for what, look in looks.items():
        try:
            yield Finding(source.name, what, look())
        except RegistrationPipelineError as error:
            yield Finding(source.name, what, str(error), error)


def _state(project: Project, source: SourceSettings) -> str:
    project.store.folders(f"{source.name}/")
    return f"{project.store.uri} can be read"


def _bucket(project: Project, source: SourceSettings) -> str:
    lister = project.lister(source)
    first = next(iter(lister.list_objects()), None)
    if first is None or first.num_rows == 0:
        return f"{lister.description}: readable, but there is no object; check the prefix in sources.{source.name}.uri"
    return f"{lister.description}: readable"


def _integration(project: Project, source: SourceSettings) -> str:
    title = source.encord.integration
    if title is None:
        # Any call shows whether the key is taken; this one changes nothing.
        _patiently("listing folders", lambda: project.gateway.find_folder(source.encord.folder))
        return "the key is taken; the source needs no integration"
    uuid = _patiently("finding the integration", lambda: project.gateway.resolve_integration(title))
    return f"the key is taken; integration {title!r} is {uuid}"


def _folder(project: Project, source: SourceSettings) -> str:
    folder = source.encord.folder
    uuid = _patiently("finding the folder", lambda: project.gateway.find_folder(folder))
    return f"folder {folder!r} is {uuid}" if uuid else f"folder {folder!r} does not exist; the first sync creates it"


def _patiently(what: str, call: Callable[[], str | None]) -> str | None:
    from registration_pipeline.submission.retry import RetryPolicy

    return RetryPolicy(attempts=_TRIES).call(what, call)
