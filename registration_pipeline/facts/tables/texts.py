"""Columns of a table as JSON, a whole batch at a time: what ``facts/metadata/values.py`` would write of each row, but fast.

What does not belong here: which columns are values (``columns.py``), and rows as a whole (``rows.py``).

Polars writes numbers and texts of whole columns at once. Where it writes a number in another form than Python's ``json``, or
a text needs escapes, that one value is written by Python; so every value has one text however it was read. Values that may
be wrong (not finite, more than 64 bits, a column inside a column) are not written here: their rows are ``odd``, and are
judged one by one.
"""

from __future__ import annotations

import json
import re
import struct
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from registration_pipeline.limits import INTEGER_RANGE
from registration_pipeline.settings.metadata import FieldKind

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN: Final = r"^[ !#-\[\]-~]*$"
"""Texts that are themselves in JSON, in ASCII."""

_FIXED_FROM, _FIXED_UP_TO = 2e-4, 1e7
"""Between these, polars writes numbers as Python does. Python writes those below 1e-4 and from 1e16 on with an exponent."""

_NANOSECONDS: Final = "%Y-%m-%dT%H:%M:%S%.9fZ"
_IDLE_ZEROS: Final = r"\.?(?:000)+Z$"
_WHOLE: Final = re.compile(r"-?[0-9]+")
_NUMBER: Final = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TEXT: Final = pl.String
_MOST_DIGITS: Final = 40
"""Of a number in a CSV field; what is longer stays text."""


class Texts(NamedTuple):
    """One column.

    Args:
        json: of each value; null where it is null, anything where it is odd.
        odd: rows whose value must be judged by itself.
        value: gives the value of a row as Python has it.
    """

    json: pl.Series
    odd: pl.Series
    value: Callable[[int], Any]


def column_texts(column: pl.Series, kind: FieldKind | None = None) -> Texts:
    """Return a column as JSON.

    Args:
        column: of a type that ``columns.py`` accepts.
        kind: of the metadata schema, for a column of texts from CSV; None: its own type counts.
    """
    plain = _plain(column)
    dtype = plain.dtype
    if dtype == _TEXT:
        return _texts(plain) if kind is None else _csv_texts(plain, kind)
    if dtype.is_float():
        texts, odd = _float_texts(plain)
        return Texts(texts, odd, _floats_of(texts))
    if dtype.is_integer() or dtype in (pl.Boolean, pl.Null):
        return Texts(plain.cast(_TEXT), _beyond_64_bits(plain), lambda row: plain[row])
    if isinstance(dtype, pl.List) and (dtype.inner.is_float() or dtype.inner.is_integer()):
        return _list_texts(plain)
    return Texts(_nothing(plain), plain.is_not_null(), lambda row: plain_value(plain[row], dtype))


def _plain(column: pl.Series) -> pl.Series:
    """Return a column in fewer types: dates and categories as text, decimals as numbers, arrays as lists."""
    dtype, plain = column.dtype, column
    if isinstance(dtype, pl.Categorical | pl.Enum):
        plain = column.cast(_TEXT)
    elif dtype == pl.Date:
        plain = column.dt.strftime("%Y-%m-%d")
    elif dtype == pl.Time:
        plain = column.dt.strftime("%H:%M:%S%.9f").str.replace(r"\.?(?:000)+$", "")
    elif isinstance(dtype, pl.Datetime):
        utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else column
        plain = utc.dt.strftime(_NANOSECONDS).str.replace(_IDLE_ZEROS, "Z")
    elif isinstance(dtype, pl.Decimal):
        plain = column.cast(pl.Float64 if dtype.scale else pl.Int128)
    elif dtype == pl.Float16:
        plain = column.cast(pl.Float32)
    elif isinstance(dtype, pl.Array) and len(dtype.shape) == 1:
        plain = column.arr.to_list()
    return _plain_inner(plain) if isinstance(plain.dtype, pl.List) else plain


def _plain_inner(column: pl.Series) -> pl.Series:
    assert isinstance(column.dtype, pl.List)
    return column.cast(pl.List(pl.Float32)) if column.dtype.inner == pl.Float16 else column


def _texts(column: pl.Series) -> Texts:
    is_plain = column.str.contains(_PLAIN).fill_null(value=True)
    texts = pl.select(pl.lit('"') + column + pl.lit('"')).to_series()
    if not is_plain.all():
        rows = (~is_plain).arg_true()
        texts = texts.scatter(rows, [json.dumps(text) for text in column.gather(rows)])
    # The one character that no database holds.
    odd = column.str.contains("\0", literal=True).fill_null(value=False)
    return Texts(texts, odd, lambda row: column[row])


def _float_texts(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the shortest texts that give the same numbers back, and which of them are no numbers of JSON."""
    texts, size = column.cast(_TEXT), column.abs()
    finite = column.is_finite().fill_null(value=True)
    is_other = finite & (((size < _FIXED_FROM) & (size != 0)) | (size >= _FIXED_UP_TO)).fill_null(value=False)
    if is_other.any():
        rows = is_other.arg_true()
        texts = texts.scatter(rows, [repr(float(text)) for text in texts.gather(rows)])
    return texts, ~finite


def _floats_of(texts: pl.Series) -> Callable[[int], Any]:
    """Return what gives the number of a text: of 32 bits the short one, which gives the same 32 bits back."""
    return lambda row: None if texts[row] is None else float(texts[row])


def _beyond_64_bits(column: pl.Series) -> pl.Series:
    if column.dtype not in (pl.UInt64, pl.Int128, pl.UInt128):
        return _none(column)
    wide = column.cast(pl.Int128)
    is_beyond = (wide < INTEGER_RANGE.start) | (wide >= INTEGER_RANGE.stop)
    return is_beyond.fill_null(value=False)


def _list_texts(column: pl.Series) -> Texts:
    lengths = column.list.len().fill_null(0)
    inner = column.filter(lengths > 0).explode()
    if inner.dtype.is_float():
        texts, wrong = _float_texts(inner)
    else:
        texts, wrong = inner.cast(_TEXT), _beyond_64_bits(inner)
    wrong = wrong | inner.is_null()
    ends = lengths.cast(pl.Int64).cum_sum()
    odd = _none(column)
    if wrong.any():
        rows = ends.search_sorted(wrong.arg_true().cast(pl.Int64), side="right").unique()
        odd = odd.scatter(rows, [True] * len(rows))
    begins = ends - lengths

    def value(row: int) -> Any:
        if column[row] is None:
            return None
        found = texts.slice(begins[row], lengths[row]).to_list()
        is_float = inner.dtype.is_float()
        return [None if text is None else float(text) if is_float else int(text) for text in found]

    return Texts(_joined(texts, ends, column), odd, value)


def _joined(texts: pl.Series, ends: pl.Series, column: pl.Series) -> pl.Series:
    """Return the texts of each list in brackets."""
    import pyarrow as pa

    offsets = pa.concat_arrays([pa.nulls(1, pa.int64()).fill_null(0), ends.to_arrow()])
    lists: Any = pl.from_arrow(pa.LargeListArray.from_arrays(offsets, texts.fill_null("null").to_arrow()))
    joined = pl.select(pl.lit("[") + lists.list.join(",") + pl.lit("]")).to_series()
    return joined.set(column.is_null(), None)


def _csv_texts(column: pl.Series, kind: FieldKind) -> Texts:
    """Return texts of CSV in the type of the schema; a text that is none of that type stays what it is."""
    if kind is FieldKind.BOOLEAN:
        lower = column.str.to_lowercase()
        known = pl.select(pl.when(lower.is_in(["true", "false"])).then(lower)).to_series()
    elif kind is FieldKind.NUMBER:
        known = _number_texts(column)
    elif kind in {FieldKind.EMBEDDING, FieldKind.GEOSPATIAL}:
        odd = column.str.contains(r"^\s*[\[{]").fill_null(value=False)
        texts = _texts(column)
        return Texts(texts.json, odd | texts.odd, lambda row: _parsed(column[row]))
    else:
        return _texts(column)
    texts = _texts(column)
    # What was converted can't be odd; the others are texts.
    return Texts(
        known.zip_with(known.is_not_null(), texts.json),
        texts.odd & known.is_null(),
        lambda row: column[row] if known[row] is None else json.loads(known[row]),
    )


def _number_texts(column: pl.Series) -> pl.Series:
    written = column.str.strip_chars(" \t")
    written = written.set(written.str.len_bytes() > _MOST_DIGITS, None)
    is_whole = written.str.contains(rf"^(?:{_WHOLE.pattern})$")
    whole = written.set(~is_whole, None).cast(pl.Int64, strict=False).cast(_TEXT)
    is_broken = ~is_whole & written.str.contains(rf"^(?:{_NUMBER.pattern})$")
    broken = written.set(~is_broken, None).cast(pl.Float64, strict=False)
    texts, odd = _float_texts(broken)
    return whole.zip_with(is_whole.fill_null(value=False), texts.set(odd, None))


def _parsed(text: str | None) -> Any:
    try:
        found = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict | list) else text


def plain_value(value: Any, dtype: Any) -> Any:
    """Return a value inside a list or an object in JSON's types; what is null in an object is left out.

    Args:
        value: as polars gives it.
        dtype: polars' type of it.
    """
    if isinstance(value, dict):
        types = {field.name: field.dtype for field in dtype.fields} if isinstance(dtype, pl.Struct) else {}
        other = getattr(dtype, "value", None)  # of a map, whose keys are texts
        return {name: plain_value(one, types.get(name, other)) for name, one in value.items() if one is not None}
    if isinstance(value, list | pl.Series):
        return [plain_value(one, dtype.inner) for one in value]
    if isinstance(value, float):
        return short_float(value) if dtype in (pl.Float32, pl.Float16) else value
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    return _text_of_time(value)


def _text_of_time(value: Any) -> Any:
    if isinstance(value, datetime):
        utc = (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).replace(tzinfo=None)
        text = utc.isoformat(timespec="auto" if utc.microsecond % 1000 else "milliseconds")
        return text.removesuffix(".000") + "Z"
    return value.isoformat() if isinstance(value, date | time) else value


def short_float(value: float) -> float:
    """Return the number with the shortest text among those that are the same in 32 bits.

    Args:
        value: a number of 32 bits, or NaN or infinite.
    """
    try:
        wanted = struct.pack("f", value)
        return next(
            found for digits in range(1, 10) if struct.pack("f", found := float(f"{value:.{digits}g}")) == wanted
        )
    except (OverflowError, StopIteration):
        return value


def _none(column: pl.Series) -> pl.Series:
    return pl.repeat(value=False, n=len(column), dtype=pl.Boolean, eager=True)


def _nothing(column: pl.Series) -> pl.Series:
    return pl.repeat(None, len(column), dtype=_TEXT, eager=True)
