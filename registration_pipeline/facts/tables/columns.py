"""Which columns of a table say what: the key, the frame, the values; and what of a table's form is refused by name.

What does not belong here: reading files (``parquet.py``, ``csv.py``, ``jsonl.py``) and writing values (``texts.py``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings.metadata import FRAME_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from registration_pipeline.settings.metadata import FieldKind, FieldType, MetadataEntry

_MOST_NAMED: Final = 20
_MOST_DECIMAL_DIGITS: Final = 38
"""Of a decimal of 128 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of one file.

    Args:
        key: names the object.
        values: the others that are read.
        frame: whether there is a column ``frame``, which makes them embeddings of frames.
    """

    key: str
    values: tuple[str, ...]
    has_frames: bool

    @property
    def read(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys([self.key, *([FRAME_COLUMN] if self.has_frames else []), *self.values]))


class TableForm:
    """What an entry asks of the columns of its files, each of which must have the same form as the first.

    Args:
        entry: with ``table``.
        key: of the setting, for errors.
        types: of ``metadata_schema``.
    """

    def __init__(self, entry: MetadataEntry, key: str, types: Mapping[str, FieldType]) -> None:
        self.entry, self._key, self._types = entry, key, types
        self._has_frames: bool | None = None

    def problem(self, file: str, text: str) -> ConfigurationError:
        """Return the error that says what is wrong with a file and what to do."""
        return ConfigurationError(f"table {file} {text}", key=self._key)

    @property
    def is_csv(self) -> bool:
        """Whether the files have texts only, which the metadata schema may give types."""
        return (self.entry.table or "").endswith(".csv")

    @property
    def has_frames(self) -> bool:
        """Whether the files that were seen are tables of key frames."""
        return bool(self._has_frames)

    def kind(self, column: str) -> FieldKind | None:
        """Return the type that the metadata schema declares for the values of a column; None: it declares none."""
        found = self._types.get(self.entry.prefix + column)
        return None if found is None else found.kind

    def columns(self, file: str, names: Sequence[str]) -> Columns:
        """Return the columns of a file.

        Args:
            file: for errors.
            names: of its columns.

        Raises:
            ConfigurationError: a column is not there or comes twice, or the file has another form than one before it.
        """
        entry = self.entry
        assert entry.key is not None
        wanted = (entry.key, *entry.columns)
        if missing := [name for name in wanted if name not in names]:
            raise self.problem(file, f"has no column {missing[0]!r}; {_those_there(names)}{_other_separator(names)}")
        if twice := [
            name for name, count in Counter(names).items() if count > 1 and (name in wanted or not entry.columns)
        ]:
            raise self.problem(file, f"has the column {twice[0]!r} more than once. Give each column a name of its own")
        has_frames = self.frames(file, is_there=FRAME_COLUMN in names)
        others = [name for name in names if name != entry.key and not (has_frames and name == FRAME_COLUMN)]
        return Columns(key=entry.key, values=entry.columns or tuple(others), has_frames=has_frames)

    def frames(self, file: str, *, is_there: bool) -> bool:
        """Return whether a file is a table of key frames.

        Args:
            file: for errors.
            is_there: it has a column ``frame``.

        Raises:
            ConfigurationError: files before it differ, or there is a ``config`` and no such column.
        """
        found = is_there and FRAME_COLUMN not in (self.entry.key, *self.entry.columns)
        if self._has_frames not in (None, found):
            has = "has" if found else "has not"
            raise self.problem(
                file, f"{has} a column {FRAME_COLUMN!r}, other than rows or files before it. Make two entries of them"
            )
        if self.entry.config is not None and not found:
            raise self.problem(
                file,
                f"has no column {FRAME_COLUMN!r}, and its entry has a config, which belongs to tables of key frames. Add the "
                "column, or remove the config",
            )
        self._has_frames = found
        return found

    def check_types(self, file: str, columns: Columns, schema: pa.Schema) -> None:
        """Refuse columns whose values have no form in JSON, and values of frames that are no embeddings.

        Raises:
            ConfigurationError: names the column.
        """
        if not _is_text(schema.field(columns.key).type):
            kind = schema.field(columns.key).type
            raise self.problem(file, f"has {kind} in the column {columns.key!r}, which names objects. Write it as text")
        if columns.has_frames and not _is_number(schema.field(FRAME_COLUMN).type):
            raise self.problem(
                file, f"has {schema.field(FRAME_COLUMN).type} in the column {FRAME_COLUMN!r}. Write numbers"
            )
        for name in columns.values:
            kind = schema.field(name).type
            if columns.has_frames and not is_list_of_numbers(kind):
                raise self.problem(
                    file,
                    f"has a column {FRAME_COLUMN!r}, so its values are embeddings of frames, and {name!r} is not a list of "
                    f"numbers but {kind}. Name those that are in `columns`, with {FRAME_COLUMN!r} if it is a value",
                )
            if (what := json_problem(kind)) is not None:
                raise self.problem(
                    file, f"has {what} in the column {name!r}, which JSON has no form for. Leave it out with `columns`"
                )


def json_problem(kind: pa.DataType) -> str | None:
    """Return the part of an Arrow type that has no form in JSON; None: all of it has."""
    types = pa.types
    if types.is_dictionary(kind):
        return None if _is_text(kind.value_type) else str(kind)
    if types.is_struct(kind):
        return next(filter(None, (json_problem(kind.field(place).type) for place in range(kind.num_fields))), None)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return json_problem(kind.value_type)
    if types.is_map(kind):
        return json_problem(kind.item_type) if _is_text(kind.key_type) else str(kind)
    is_fine = (
        _is_text(kind)
        or _is_number(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
        or types.is_date(kind)
        or types.is_time(kind)
        or types.is_timestamp(kind)
    )
    return None if is_fine else str(kind)


def is_list_of_numbers(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is one of embeddings."""
    types = pa.types
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and _is_number(kind.value_type))


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    is_decimal = types.is_decimal(kind) and kind.precision <= _MOST_DECIMAL_DIGITS
    return bool(types.is_integer(kind) or types.is_floating(kind) or is_decimal)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _those_there(names: Iterable[str]) -> str:
    listed = [repr(name) for name in names]
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    there = f"it has {', '.join(listed[:_MOST_NAMED])}{more}" if listed else "it has none"
    return f"{there}. Correct the entry or the table"


def _other_separator(names: Sequence[str]) -> str:
    """Return the reason of a CSV with one column, if its heading shows one."""
    found = [mark for mark in (";", "\t", "|") if len(names) == 1 and mark in names[0]]
    return f". Its columns seem to be separated by {found[0]!r}: write commas" if found else ""
