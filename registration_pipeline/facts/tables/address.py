"""Where the files of a table are: the text after ``table:`` as a pattern of paths or of keys in a bucket.

What does not belong here: finding the files (``files.py``) and reading them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from os.path import normpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings.addresses import SourceScheme, parse_location

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.settings.addresses import SourceLocation
    from registration_pipeline.settings.metadata import MetadataEntry

ANY: Final = "*"
"""Stands for any text without a slash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableAddress:
    """One or several files.

    Args:
        text: as written.
        key: of the setting, for errors.
        location: of the bucket, its prefix the whole pattern; None: files on disk.
        path: absolute, a pattern too; None: in a bucket.
        folder: of registration.yaml; names of files below it are shown from there on.
    """

    text: str
    key: str
    location: SourceLocation | None = None
    path: Path | None = None
    folder: Path | None = None

    @property
    def pattern(self) -> str:
        """The pattern of whole keys, or of absolute paths."""
        return self.location.prefix if self.location is not None else str(self.path)

    @property
    def is_pattern(self) -> bool:
        """Whether it may be several files."""
        return ANY in self.pattern

    def matcher(self) -> Callable[[str], bool]:
        """Return what says whether a key or an absolute path is one of the files."""
        expression = re.compile("[^/]*".join(map(re.escape, self.pattern.split(ANY))), re.DOTALL)
        return lambda name: expression.fullmatch(name) is not None

    def shown(self, path: Path) -> str:
        """Return the name of a file for people."""
        return str(path.relative_to(self.folder)) if self.folder and path.is_relative_to(self.folder) else str(path)

    def problem(self, text: str) -> ConfigurationError:
        """Return the error that says of this table what is wrong with it and what to do."""
        return ConfigurationError(f"table {self.text}: {text}", key=self.key)


def table_address(source: SourceSettings, index: int, entry: MetadataEntry, base_folder: Path) -> TableAddress:
    """Take the text of an entry apart.

    Args:
        source: which the entry belongs to.
        index: of the entry, from 0.
        entry: with ``table``.
        base_folder: of registration.yaml, where relative paths begin.

    Raises:
        ConfigurationError: it is neither a path nor an address of a store.
    """
    text, key = entry.table or "", f"sources.{source.name}.metadata[{index}].table"
    if "://" not in text:
        if "\0" in text:
            raise ConfigurationError("a path can't hold a zero byte", key=key)
        folder = Path(normpath(base_folder))
        return TableAddress(text=text, key=key, path=Path(normpath(folder / text)), folder=folder)
    try:
        location = parse_location(text)
    except ValueError as error:
        raise ConfigurationError(f"a table is a path, or an address that {error}", key=key) from None
    if location.path is not None:
        return TableAddress(text=text, key=key, path=Path(normpath(location.path)))
    if not location.prefix:
        raise ConfigurationError("names a bucket and no file in it", key=key)
    if location.scheme is SourceScheme.OBS and source.location.scheme is not SourceScheme.OBS:
        text = "a table in obs:// needs a source in obs://, whose region or endpoint it is read with; copy the table"
        raise ConfigurationError(text, key=key)
    return TableAddress(text=text, key=key, location=location)


@dataclass(frozen=True, slots=True)
class TableKeys:
    """Which objects of a source are files of its own tables, which are not registered; called with a key.

    Args:
        rules: each with its name and what says whether a key is one of its files.
    """

    rules: tuple[tuple[str, Callable[[str], bool]], ...] = field(default=())

    def __bool__(self) -> bool:
        """Return whether any object may be one."""
        return bool(self.rules)

    def __call__(self, key: str) -> bool:
        """Return whether an object is a file of a table."""
        return self.rule(key) is not None

    def rule(self, key: str) -> str | None:
        """Return the name of the entry whose file an object is, e.g. ``metadata[2].table "s3://…"``; None: of none."""
        return next((name for name, matches in self.rules if matches(key)), None)


def table_keys(source: SourceSettings, base_folder: Path) -> TableKeys:
    """Return which objects of a source are files of its tables: those that lie in its own bucket or directory.

    Args:
        source: its settings.
        base_folder: of registration.yaml, where relative paths begin.

    Raises:
        ConfigurationError: the address of a table is wrong.
    """
    rules = []
    for index, entry in enumerate(source.metadata):
        if entry.table is None:
            continue
        address = table_address(source, index, entry, base_folder)
        if (pattern := _in_the_source(source.location, address)) is not None:
            name = f'metadata[{index}].table "{entry.table}"'
            rules.append((name, _keys(pattern)))
    return TableKeys(tuple(rules))


def _in_the_source(own: SourceLocation, address: TableAddress) -> str | None:
    """Return the pattern of keys of the source that are files of the table; None: none can be."""
    there = address.location
    if there is not None:
        is_same = (there.scheme, there.bucket, there.account) == (own.scheme, own.bucket, own.account)
        return there.prefix if is_same else None
    if own.path is None or address.path is None:
        return None
    root, path = PurePosixPath(normpath(own.path)), PurePosixPath(address.path)
    return str(path.relative_to(root)) if path.is_relative_to(root) else None


def _keys(pattern: str) -> Callable[[str], bool]:
    expression = re.compile("[^/]*".join(map(re.escape, pattern.split(ANY))), re.DOTALL)
    start = pattern.partition(ANY)[0]
    return lambda key: key.startswith(start) and expression.fullmatch(key) is not None
