"""Reads registration.yaml and the environment into frozen models.

What does not belong here: the keys themselves (``models.py``), YAML (``yaml_source.py``), rules that span
keys (``cross_checks.py``), Encord's key and domain (``credentials.py``). Nothing is read at import.
"""

from __future__ import annotations

import difflib
from os.path import normpath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings.addresses import SourceScheme, parse_state
from registration_pipeline.settings.cross_checks import plan_problems, source_problems
from registration_pipeline.settings.executor import ENGINE_SECTIONS, ExecutorSettings
from registration_pipeline.settings.metadata import DatasetSettings, KeyframeConfig, MetadataEntry
from registration_pipeline.settings.metadata_checks import schema_problems
from registration_pipeline.settings.models import (
    ChunkSizes,
    EncordSettings,
    Settings,
    SourceEncordSettings,
    SourceSettings,
    StorageSettings,
)
from registration_pipeline.settings.notify import NotifyTarget
from registration_pipeline.settings.overlaps import overlap_problems
from registration_pipeline.settings.units import GroupRule, KindRule
from registration_pipeline.settings.yaml_source import MOST_BYTES, ConfigurationFile, Location, parse_configuration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

DEFAULT_FILE = "registration.yaml"
DEFAULT_STATE = "./.registration"

_SECTIONS: dict[str, type[BaseModel]] = {
    "storage": StorageSettings,
    "encord": SourceEncordSettings,
    "chunk_size": ChunkSizes,
    "dataset": DatasetSettings,
}
_ENTRIES: dict[str, type[BaseModel]] = {"kinds": KindRule, "groups": GroupRule, "metadata": MetadataEntry}
"""Lists of sections."""
TOP_LEVEL_KEYS = ("state", "encord", "sources", "notify", "metrics", "executor")
_SOURCE_KEYS = tuple(key for key in SourceSettings.model_fields if key != "name")
_NOTIFY_EXAMPLE = '- {slack: "${SLACK_WEBHOOK}"}'
_LIST_EXAMPLES = {
    "kinds": '- {match: "*.dat", kind: images}',
    "groups": '- {match: "rigs/**", as: image_group, by: directory}',
    "metadata": "- {table: labels.parquet, key: image_path}",
}
_SHAPES = {
    "columns": "must be a list of columns, e.g. [weather, speed]",
    **dict.fromkeys(("title", "key", "table", "sidecar"), "must not be empty"),
    "dataset": "must be a mapping, e.g. {title: fleet}",
    "run_tags": "must be a mapping of tags, e.g. {team: vision}",
    "op_tags": "must be a mapping of tags, e.g. {dagster-celery/queue: large}",
    "metadata_schema": "must be a mapping of fields to types, e.g. {weather: {enum: [sun, rain]}, speed: number}",
}
_TEXTS = {
    "missing": "missing: this key is required",
    "string_type": "must be text; put a number or date in quotes",
    "string_too_short": "must not be empty; leave the key out for its default",
    "tuple_type": 'must be a list, e.g. ["**/*.jpg"]',
    "too_short": "must not be empty",
    "model_type": "must be a mapping of keys",
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_parsing_size", "int_from_float", "finite_number"), "must be a whole number"
    ),
}
_HOW_TO_MAKE_A_FILE = """\
the configuration file does not exist; name one with --config FILE or REGISTRATION_CONFIG, or make one like this:
sources:
  my-source:
    uri: s3://my-bucket/prefix/
    storage: {region: eu-west-2}
    encord: {integration: title of the Encord integration}
(the repository's examples/registration.yaml explains every key)"""
_Model = TypeVar("_Model", bound=BaseModel)


def load_settings(path: Path | str | None, environ: Mapping[str, str]) -> Settings:
    """Read the configuration.

    Args:
        path: the file; None means ``REGISTRATION_CONFIG``, else ``registration.yaml`` in the working directory.
        environ: the environment, for ``REGISTRATION_CONFIG`` and for ``${NAME}`` in values.

    Raises:
        ConfigurationError: names file, line and key of everything that is wrong, one problem per line.
    """
    file = Path(path or environ.get("REGISTRATION_CONFIG") or DEFAULT_FILE)
    parsed = parse_configuration(_text_of(file), file=str(file), environ=environ)
    return settings_of(parsed, file.absolute(), environ=environ)


def settings_of(
    parsed: ConfigurationFile, file: Path, *, environ: Mapping[str, str], folder: Path | None = None
) -> Settings:
    """Return the configuration that values describe, wherever they were written.

    Args:
        parsed: the values, with the environment filled in.
        file: where they were written, absolute.
        environ: the environment, for ``~`` in paths.
        folder: what relative paths start from; None: the file's folder.

    Raises:
        ConfigurationError: names file, line and key of everything that is wrong, one problem per line.
    """
    reader = _SettingsReader(parsed, file, environ, folder)
    settings = reader.settings()
    parsed.raise_problems()
    assert settings is not None
    return settings


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(_HOW_TO_MAKE_A_FILE, file=str(file)) from None
    except OSError as error:
        problem = f"the configuration file can't be read: {error.strerror}"
        raise ConfigurationError(problem, file=str(file)) from None
    if len(data) > MOST_BYTES:
        problem = f"the configuration file is larger than {MOST_BYTES:,} bytes; check that it is the right file"
        raise ConfigurationError(problem, file=str(file))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError("the file is not UTF-8; save it as UTF-8", file=str(file), line=line) from None


class _SettingsReader:
    """Validates section by section, so that one mistake does not hide the next."""

    def __init__(self, parsed: ConfigurationFile, file: Path, environ: Mapping[str, str], folder: Path | None) -> None:
        self._parsed = parsed
        self._file = file
        self._given_folder = folder
        self._folder = folder or file.parent
        self._environ = environ

    def settings(self) -> Settings | None:
        values = self._parsed.values
        for key in values:
            if key not in TOP_LEVEL_KEYS:
                self._parsed.add((key,), _unknown_key(key, TOP_LEVEL_KEYS))
        state = self._state(values.get("state"))
        encord = self._model(EncordSettings, values.get("encord") or {}, ("encord",))
        sources = self._sources(values.get("sources"), state)
        notify = self._notify(values.get("notify"))
        metrics = self._metrics(values.get("metrics"), state)
        executor = self._model(ExecutorSettings, values.get("executor"), ("executor",))
        if encord is not None:
            for location, text in plan_problems(sources, encord.plan):
                self._parsed.add(location, text)
        for location, text in (*overlap_problems(sources), *schema_problems(sources)):
            self._parsed.add(location, text)
        if self._parsed.problems or encord is None or executor is None:
            return None
        by_name = {source.name: _with_absolute_tables(source, self._folder) for source in sources}
        return Settings(
            state=state,
            encord=encord,
            sources=by_name,
            notify=notify,
            metrics=metrics,
            executor=executor,
            path=self._file,
            folder=self._given_folder,
        )

    def _notify(self, value: Any) -> tuple[NotifyTarget, ...]:
        if value is not None and not isinstance(value, list):
            self._parsed.add(("notify",), f"must be a list of targets, e.g. {_NOTIFY_EXAMPLE}")
            return ()
        found = (self._target(entry, ("notify", place)) for place, entry in enumerate(value or []))
        return tuple(target for target in found if target is not None)

    def _target(self, entry: Any, location: Location) -> NotifyTarget | None:
        if location in self._parsed.broken:
            return None
        if not isinstance(entry, dict):
            self._parsed.add(location, f"must be a mapping, e.g. {_NOTIFY_EXAMPLE}")
            return None
        return self._model(NotifyTarget, entry, location)

    def _metrics(self, value: Any, state: str) -> Path | None:
        if value is None:
            return None
        if not isinstance(value, str) or not value or not value.isprintable() or "://" in value:
            self._parsed.add(("metrics",), "must be the path of a file, e.g. /var/lib/node_exporter/registration.prom")
            return None
        file = self._folder / Path(value).expanduser()
        if "://" not in state and file.resolve().is_relative_to(Path(state).resolve()):
            self._parsed.add(
                ("metrics",), "must not be in the folder of the state, whose files nothing else may change"
            )
            return None
        return file

    def _state(self, value: Any) -> str:
        if value is not None and not isinstance(value, str):
            self._parsed.add(("state",), "must be text: a path, or an address such as s3://bucket/prefix")
            value = None
        folder = self._folder
        try:
            return parse_state(value or DEFAULT_STATE, folder=folder, environ=self._environ)
        except ValueError as error:
            self._parsed.add(("state",), str(error))
            return parse_state(DEFAULT_STATE, folder=folder, environ=self._environ)

    def _sources(self, values: Any, state: str) -> list[SourceSettings]:
        """Return the sources that are right in themselves."""
        if ("sources",) in self._parsed.broken:
            return []
        if not isinstance(values, dict) or not values:
            self._parsed.add(("sources",), "missing: a mapping with at least one source is required")
            return []
        sources = (self._source(name, value, state) for name, value in values.items())
        return [source for source in sources if source is not None]

    def _source(self, name: str, value: Any, state: str) -> SourceSettings | None:
        location: Location = ("sources", name)
        if location in self._parsed.broken:
            return None
        if not isinstance(value, dict):
            self._parsed.add(location, "must be a mapping with at least the key 'uri'")
            return None
        if "name" in value:
            self._parsed.add((*location, "name"), _unknown_key("name", _SOURCE_KEYS))
        given = {
            key: {} if key in _SECTIONS and key != "dataset" and item is None else item for key, item in value.items()
        }
        source = self._model(SourceSettings, {**given, "name": name}, location)
        doubtful = self._doubtful_keys(location)
        checkable = source or _rest_of_source(name, given, doubtful)
        if checkable is not None:
            for relative, text in source_problems(checkable, state, doubtful):
                self._parsed.add((*location, *relative), text)
        return None if doubtful or source is None else _with_tables_in(source, self._folder)

    def _doubtful_keys(self, location: Location) -> set[str]:
        """Return the keys of a source that something is wrong with, or below which something is."""
        wrong = {problem.location for problem in self._parsed.problems} | self._parsed.broken
        depth = len(location)
        return {str(place[depth]) for place in wrong if len(place) > depth and place[:depth] == location}

    def _model(self, model: type[_Model], values: Any, location: Location) -> _Model | None:
        try:
            return model.model_validate(values)
        except ValidationError as invalid:
            for error in _without_misspelt(model, invalid.errors(include_url=False)):
                place = (*location, *_as_written(values, _without_mark(error["loc"])))
                if place == (*location, "name"):
                    place = location
                if not any(broken[: len(place)] == place for broken in self._parsed.broken):
                    text = _problem_text(model, error)
                    is_of_value = error["type"] not in {"extra_forbidden", "missing"}
                    self._parsed.add(place, f"{text}{self._parsed.given(place) if is_of_value else ''}")
            return None


def _with_tables_in(source: SourceSettings, folder: Path) -> SourceSettings:
    """Return a source in a directory with the whole paths of its tables: they may lie in it, and are not registered then."""
    if source.location.path is None or not any(entry.table for entry in source.metadata):
        return source
    entries = [
        entry.model_copy(update={"table": str(folder / entry.table)})
        if entry.table and "://" not in entry.table
        else entry
        for entry in source.metadata
    ]
    return source.model_copy(update={"metadata": tuple(entries)})


def _without_mark(place: Location) -> Location:
    """Return a place without the word that pydantic adds where the key of a mapping is wrong."""
    return place[:-1] if place[-1:] == ("[key]",) else place


def _with_absolute_tables(source: SourceSettings, folder: Path) -> SourceSettings:
    """Return a source on a directory with whole paths of tables, which may lie in the directory and are not objects then.

    Elsewhere a path stays as it is written, so that it is the same on every machine.
    """
    if source.location.scheme is not SourceScheme.FILE:
        return source
    entries = (
        entry
        if entry.table is None or "://" in entry.table
        else entry.model_copy(update={"table": normpath(folder / entry.table)})
        for entry in source.metadata
    )
    return source.model_copy(update={"metadata": tuple(entries)})


def _as_written(values: Any, place: Location) -> Location:
    """Return a place without the number that it has where one text was written instead of a list of one."""
    for depth, part in enumerate(place):
        if isinstance(values, str):
            return place[:depth]
        is_there = part in values if isinstance(values, dict) else isinstance(values, list)
        if not is_there:
            break
        values = values[part]
    return place


def _rest_of_source(name: str, values: Mapping[str, Any], doubtful: set[str]) -> SourceSettings | None:
    """Return the source without the keys that are wrong, for the rules that the other keys can still break."""
    kept = {key: item for key, item in values.items() if key not in doubtful}
    try:
        return SourceSettings.model_validate({**kept, "name": name})
    except ValidationError:
        return None


def _problem_text(model: type[BaseModel], error: ErrorDetails) -> str:
    """Say what is wrong with one key in words of our own; never quotes the value, which may be a secret."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(str(error["loc"][-1]), _known_beside(model, error))
    if kind in {"greater_than_equal", "less_than_equal"}:
        return f"must be {context['ge']:g} or more" if "ge" in context else f"must be {context['le']} or less"
    if kind == "string_too_long":
        return f"must have {context['max_length']} characters or less"
    if kind == "enum":
        return f"must be one of {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    return _shape_text(error) or _TEXTS.get(kind, error["msg"])


def _shape_text(error: ErrorDetails) -> str | None:
    """Say what is wrong with a value of another shape, where that depends on the value or its key."""
    kind, place = error["type"], error["loc"]
    if kind.endswith("_type") and error["input"] is None:
        return "has no value; give one, or leave the key out"
    if kind in {"tuple_type", "dict_type", "model_type", "string_too_short"} and (shape := _SHAPES.get(str(place[-1]))):
        return shape
    if kind == "finite_number" and place[-1] == "sampling_rate":
        return "must be a number, 0 or more"
    if kind == "tuple_type" and (example := _LIST_EXAMPLES.get(str(place[-1]))):
        return f"must be a list of rules, e.g. {example}"
    if place[0] == "kinds" and place[2:] == ("match",) and isinstance(error["input"], list):
        return "must be one glob; write an entry for each"
    return None


def _keys(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _known_beside(model: type[BaseModel], error: ErrorDetails) -> tuple[str, ...]:
    """Return the keys that are known where an unknown one was given."""
    sections = ENGINE_SECTIONS if model is ExecutorSettings else {**_SECTIONS, **_ENTRIES}
    section = sections.get(str(error["loc"][0])) if len(error["loc"]) > 1 else model
    if section is MetadataEntry and "config" in error["loc"][2:-1]:
        section = KeyframeConfig
    return _SOURCE_KEYS if section is SourceSettings else _keys(section or model)


def _without_misspelt(model: type[BaseModel], errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out that a key is missing where an unknown key beside it is a misspelt one: that is one mistake."""
    meant = {
        (*error["loc"][:-1], near)
        for error in errors
        if error["type"] == "extra_forbidden"
        for near in _nearest(str(error["loc"][-1]), _known_beside(model, error))
    }
    return [error for error in errors if error["type"] != "missing" or error["loc"] not in meant]


def _nearest(key: str, known: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(key, known, n=1, cutoff=0.5)


def _unknown_key(key: str, known: Sequence[str]) -> str:
    if not known:
        return "unknown key; there is nothing to set here: remove it"
    nearest = _nearest(key, known)
    hint = f"did you mean '{nearest[0]}'?" if nearest else f"known here: {', '.join(known)}"
    return f"unknown key; {hint}"
