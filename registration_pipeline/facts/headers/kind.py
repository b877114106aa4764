"""Reading headers as a kind of reading: see ``facts/reading``.

What does not belong here: what a header says (``dicom.py``) and what a row says of it (``schema.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.facts.headers.dicom import quiet_pydicom, read_header
from registration_pipeline.facts.headers.schema import HEADER_SCHEMA, HEADERS, UNREADABLE, Header, header_rows
from registration_pipeline.facts.reading.ranged_file import RangedFile
from registration_pipeline.facts.reading.spec import FactKind

if TYPE_CHECKING:
    from registration_pipeline.facts.reader import ObjectReader, StoredObject


def _read(reader: ObjectReader, item: StoredObject) -> Header:
    with RangedFile(lambda start, length: reader.read(item, start, length), item.size) as file:
        header = read_header(file, item.key)
        return header._replace(bytes_read=file.bytes_read)


def _unreadable(message: str) -> Header:
    return Header(problem=UNREADABLE, message=message)


HEADER_KIND: Final[FactKind[Header]] = FactKind(
    name=HEADERS,
    what="headers",
    schema=HEADER_SCHEMA,
    read=_read,
    unreadable=_unreadable,
    rows=header_rows,
    retried=frozenset({UNREADABLE.value}),
    session=quiet_pydicom,
)
"""Objects whose header could not be read for a reason that passes get no row."""
