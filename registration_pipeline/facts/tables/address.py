"""Where the files of a table are: the text after ``table:`` as a pattern of paths or of keys in a bucket.

What does not belong here: finding the files (``files.py``) and reading them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings.addresses import SourceScheme, parse_location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        return _keys(self.pattern)

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
        ConfigurationError: it is in OBS, and the source is not.
    """
    text, key = entry.table or "", f"sources.{source.name}.metadata[{index}].table"
    if "://" not in text:
        folder = Path(normpath(base_folder))
        return TableAddress(text=text, key=key, path=Path(normpath(folder / text)), folder=folder)
    location = parse_location(text)  # checked with the settings
    if location.path is not None:
        return TableAddress(text=text, key=key, path=Path(normpath(location.path)))
    if location.scheme is SourceScheme.OBS and source.location.scheme is not SourceScheme.OBS:
        text = "a table in obs:// needs a source in obs://, whose region or endpoint it is read with; copy the table"
        raise ConfigurationError(text, key=key)
    return TableAddress(text=text, key=key, location=location)


def own_tables(source: SourceSettings) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """Yield the tables whose files may be objects of the source itself, which are not registered then.

    Args:
        source: its settings. The loader gives paths of tables of a source in a directory whole.

    Yields:
        The name of the rule, e.g. ``metadata[2].table "s3://…"``, and what says whether a key is one of its files.
    """
    for index, entry in enumerate(source.metadata):
        if entry.table is not None and (pattern := _in_the_source(source.location, entry.table)) is not None:
            yield f'metadata[{index}].table "{entry.table}"', _keys(pattern)


def _in_the_source(own: SourceLocation, table: str) -> str | None:
    """Return the pattern of keys of the source that are files of a table; None: none can be."""
    there = parse_location(table) if "://" in table else None
    if own.path is None:
        is_same = there and (there.scheme, there.bucket, there.account) == (own.scheme, own.bucket, own.account)
        return there.prefix if there is not None and is_same else None
    if there is not None and there.path is None:
        return None
    root, path = (
        PurePosixPath(normpath(own.path)),
        PurePosixPath(normpath(there.path if there and there.path else table)),
    )
    return str(path.relative_to(root)) if path.is_relative_to(root) else None


def _keys(pattern: str) -> Callable[[str], bool]:
    expression = re.compile("[^/]*".join(map(re.escape, pattern.split(ANY))), re.DOTALL)
    start = pattern.partition(ANY)[0]
    return lambda key: key.startswith(start) and expression.fullmatch(key) is not None
