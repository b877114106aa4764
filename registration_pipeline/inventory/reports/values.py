"""The values of a report's columns, as an inventory has them: keys, numbers, times, true and false.

What does not belong here: which column is which (``amazon.py`` and its neighbours). Values that can't be read without
guessing are errors that name them; nothing is made up.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pyarrow.compute as pc

_TIMES = pa.timestamp("us", tz="UTC")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class ValueProblemError(Exception):
    """A value can't be read; the text says which and why, and the caller says in which file."""


def column_name(name: str) -> str:
    """Return a column's name without letter case and signs: ``Last-Modified`` and ``last_modified`` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def decoded_key(encoded: str) -> str:
    """Return the decoded form of a URL-encoded key.

    S3 writes a space as ``+`` and a plus sign as ``%2B``, in reports as in listings.

    Raises:
        ValueProblemError: it is not URL-encoded, or not UTF-8.
    """
    if _NO_ESCAPE.search(encoded):
        raise ValueProblemError(f"the key {encoded!r} should be URL-encoded, and is not")
    try:
        return unquote_to_bytes(encoded.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueProblemError(
            f"the key {encoded!r} (URL-encoded) is not UTF-8, so no URL can name it; copy the object to another key "
            "and delete it"
        ) from None


def decoded_keys(encoded: pa.Array) -> pa.Array:
    """Decode a column of URL-encoded keys."""
    is_plain = pc.invert(pc.match_substring_regex(encoded, "[%+]"))
    if pc.all(is_plain).as_py() is not False:
        return encoded
    return pa.array([key and decoded_key(key) for key in encoded.to_pylist()], pa.string())


def text(column: pa.Array) -> pa.Array:
    """Return a column of text; empty text is null.

    Raises:
        ValueProblemError: it is not UTF-8.
    """
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    try:
        values = (column.dictionary_decode() if pa.types.is_dictionary(column.type) else column).cast(pa.string())
        values.validate(full=True)  # Parquet and ORC promise UTF-8, and their readers do not check it
    except pa.ArrowException as error:
        raise ValueProblemError(f"text that is not UTF-8 ({error})") from None
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)


def unquoted(column: pa.Array) -> pa.Array:
    """Return a column of ETags without quotes."""
    return pc.utf8_trim(text(column), '"')


def numbers(column: pa.Array) -> pa.Array:
    """Return a column of whole numbers."""
    try:
        return (text(column) if _is_text(column.type) else column).cast(pa.int64())
    except pa.ArrowException as error:
        raise ValueProblemError(f"a number that can't be read ({error})") from None


def flags(column: pa.Array) -> pa.Array:
    """Return a column of true, false and null."""
    if not _is_text(column.type):
        return column.cast(pa.bool_())
    values = pc.utf8_lower(text(column))
    is_strange = pc.invert(pc.is_in(values, pa.array(["true", "false"])))
    if len(strange := values.filter(is_strange).drop_null()):
        raise ValueProblemError(f"{strange[0].as_py()!r} where true or false should be")
    return pc.equal(values, "true")


def times(column: pa.Array) -> pa.Array:
    """Return a column of times in UTC, from timestamps, milliseconds since 1970, ISO 8601 or HTTP dates."""
    if pa.types.is_null(column.type):
        return column.cast(_TIMES)
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64()).cast(pa.timestamp("ms", tz="UTC")).cast(_TIMES)
    if pa.types.is_timestamp(column.type):
        # ORC's timestamps have no zone; the providers write UTC.
        return pc.cast(column, pa.timestamp("us", tz=column.type.tz), safe=False).cast(_TIMES)
    values = text(column)
    try:
        return pc.cast(values.cast(pa.timestamp("ns", tz="UTC")), _TIMES, safe=False)
    except pa.ArrowException:
        return pa.array([value and _time(value) for value in values.to_pylist()], _TIMES)


def time_of(value: str) -> datetime:
    """Return one time of a manifest.

    Raises:
        ValueProblemError: it can't be read.
    """
    return _time(value)


def _time(value: str) -> datetime:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            time = parse(value.removesuffix(" UTC"))
        except (ValueError, TypeError):
            continue
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    raise ValueProblemError(f"{value!r} where a time should be")


def _is_text(kind: pa.DataType) -> bool:
    return not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind))
