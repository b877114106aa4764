"""The checks that facts can be read: the libraries and tables are there, and one object of the bucket can be read in part.

What does not belong here: the other checks of a source (``project/preflight.py``).
"""

from typing import TYPE_CHECKING

from registration_pipeline.counted import counted
from registration_pipeline.errors import (
    ConfigurationError,
    ObjectReadError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.settings.units import asks_for_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

_FEW_BYTES = 1024


def needs_headers(source: SourceSettings, listed: "Sequence[pa.RecordBatch]") -> bool:
    """Return whether a sync of the source will read headers.

    Args:
        source: its rules.
        listed: the first objects of its bucket; where rules don't ask for headers, DICOM objects among them do.
    """
    from registration_pipeline.planning.header_needs import objects_to_read

    return asks_for_headers(source.groups) or any(objects_to_read(source, batch).num_rows for batch in listed)


def try_header(project: Project, source: SourceSettings, listed: "Sequence[pa.RecordBatch]") -> str:
    """Read the beginning of the first object that needs it, and say so.

    Raises:
        ConfigurationError: the library that reads headers is not installed.
        PermissionDeniedError: the object may not be read.
        ServiceUnavailableError: it can't be read for another reason.
        HaltError: what the reader raises.
    """
    from registration_pipeline.facts.reader import StoredObject
    from registration_pipeline.planning.header_needs import objects_to_read
    from registration_pipeline.project.facts.headers import require_library

    require_library(source)
    reader = project.reader(source)
    for batch in listed:
        for item in StoredObject.of(objects_to_read(source, batch).slice(0, 1)):
            try:
                reader.read(item, 0, _FEW_BYTES)
            except ObjectReadError as error:
                if error.is_refused:
                    raise PermissionDeniedError(str(error)) from None
                raise ServiceUnavailableError(f"{error}. Check again") from None
            return f"{reader.description}: {item.key!r} can be read"
    return f"{reader.description}: not tried, because none of the first objects needs it"


def find_libraries(source: SourceSettings) -> str:
    """Say that media can be probed.

    Raises:
        ConfigurationError: a library is not installed.
    """
    from registration_pipeline.facts.media.kind import missing_library

    if (command := missing_library()) is not None:
        raise ConfigurationError(
            f"the libraries that probe media are not installed; run {command}, or set media_metadata: off",
            key=f"sources.{source.name}.media_metadata",
        )
    return "the libraries that probe media are installed"


def find_tables(project: Project, source: SourceSettings) -> str:
    """Name the files of each table of a source, and read the heading of the first.

    Raises:
        ConfigurationError: a table has no file, its address is wrong, or the file lacks a column that the entry names.
        HaltError: the bucket of a table can't be listed, or the file can't be read.
    """
    from registration_pipeline.facts.tables.address import table_address
    from registration_pipeline.facts.tables.files import TableFiles
    from registration_pipeline.facts.tables.heading import check_heading
    from registration_pipeline.project.clients.tables import ClientPlaces

    places = ClientPlaces(project.clients, project.environ)
    said = []
    for index, entry in enumerate(source.metadata):
        if entry.table is not None:
            address = table_address(source, index, entry, project.settings.base_folder)
            table = TableFiles(address, source, places)
            files = table.find()
            check_heading(table, files[0], entry, source.metadata_schema)
            said.append(f"{entry.table}: {counted(len(files), 'file')}")
    return "; ".join(said)
