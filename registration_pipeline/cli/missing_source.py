"""What is said when a source was left out, or a key was given in its place: which sources the configuration has.

What does not belong here: a mistyped source (``project/project.py``), and how errors are printed (``errors.py``).
"""

from collections.abc import Sequence
from shlex import quote

import click

from registration_pipeline.errors import RegistrationPipelineError, UsageError
from registration_pipeline.project.project import Project

_MOST_NAMED = 20


def name_sources(error: click.MissingParameter) -> None:
    """Let the message about an argument that was left out name the sources; without a configuration it stays as it is."""
    name = error.param.name if error.param is not None else None
    if error.ctx is None or name not in {"source", "key"}:
        return
    try:
        project = Project.load(error.ctx.params.get("config") or error.ctx.find_root().obj)
    except RegistrationPipelineError:
        return
    given = error.ctx.params.get("source")
    if name == "source":
        error.message = f"Give a source; {project.settings.path.name} has: {_named(project)}."
    elif given is not None and given not in project.settings.sources:
        error.message = _key_as_source(project, [given])


def require_source(project: Project, name: str, keys: Sequence[str]) -> None:
    """Refuse the arguments of ``find`` if the first is a key and the configuration leaves no doubt about the source.

    Raises:
        UsageError: the first argument is not a source, and there is only one.
    """
    sources = project.settings.sources
    if name not in sources and len(sources) == 1:
        raise UsageError(_key_as_source(project, [name, *(key for key in keys if key not in sources)]))


def _key_as_source(project: Project, keys: Sequence[str]) -> str:
    sources = [*project.settings.sources]
    command = f"registration-pipeline find {sources[0] if len(sources) == 1 else 'SOURCE'} {' '.join(map(quote, keys))}"
    return (
        f"The first argument is the source, and {keys[0]!r} is not a source; {project.settings.path.name} has: "
        f"{_named(project)}. To find a key: `{command}`."
    )


def _named(project: Project) -> str:
    sources = [*project.settings.sources]
    more = f" and {len(sources) - _MOST_NAMED} more" if len(sources) > _MOST_NAMED else ""
    return ", ".join(sources[:_MOST_NAMED]) + more
