"""What a DICOM file says it is: series, study and modality, found with pydicom in as few bytes as possible.

What does not belong here: where the bytes come from (``facts/reading``) and which objects are read (``planning``).

Nothing about a patient is kept, not even for a message: pydicom skips the value of PatientID, of which only the presence
matters, and texts of its exceptions and warnings, which may quote values, are never passed on.
"""

from __future__ import annotations

import logging
import re
import warnings
import zlib
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast

from registration_pipeline.facts.headers.schema import INVALID, Header
from registration_pipeline.facts.reading.ranged_file import (
    MAX_HEADER_BYTES,
    HeaderTooLongError,
    InflatedFile,
    ReadToTheEndError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from registration_pipeline.facts.reading.ranged_file import RangedFile

_SOP, _MODALITY, _PATIENT = 0x00080018, 0x00080060, 0x00100020
_STUDY, _SERIES, _ROWS, _COLUMNS = 0x0020000D, 0x0020000E, 0x00280010, 0x00280011
_DIRECTORY_RECORDS = 0x00041220

_NAMES: Final[Mapping[int, str]] = {
    _SOP: "SOPInstanceUID",
    _PATIENT: "PatientID",
    _STUDY: "StudyInstanceUID",
    _SERIES: "SeriesInstanceUID",
    _ROWS: "Rows",
    _COLUMNS: "Columns",
}
"""What Encord requires of a DICOM file, in the order of the tags (facts of its documentation, "Data files")."""

_UIDS: Final = (_SOP, _STUDY, _SERIES)
_READ: Final = [*_UIDS, _MODALITY]
_UID: Final = re.compile(rb"[0-9.]{1,64}")
_CODE: Final = re.compile(rb"[A-Z0-9_ ]{1,16}")
"""The characters of a code string (PS3.5, 6.2)."""

_PREFIX_AT, _PREFIX = 128, b"DICM"
_FIRST_GROUPS: Final = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""Files without a preamble begin with the file meta information, or with the data set in either byte order."""

_OF_THE_BYTES: Final = (EOFError, HeaderTooLongError, RecursionError, zlib.error)
"""What a file raises for what is in it. Anything else that it raises says that it can't be read."""


class _Tags:
    """The tags of the data set itself, not of sequences in it, as pydicom comes to them."""

    def __init__(self) -> None:
        self.lengths: dict[int, int] = {}

    def stop_at(self, tag: Any, vr: str | None, length: int) -> bool:  # noqa: ARG002 - pydicom's signature
        """Note the tag; return whether nothing behind it is needed. Tags come in rising order."""
        self.lengths[int(tag)] = length
        return int(tag) >= _COLUMNS

    @property
    def missing(self) -> list[str]:
        """What Encord requires and is not there, or is empty. Only PatientID may be (PS3.3: type 2)."""
        return [
            name
            for tag, name in _NAMES.items()
            if tag not in self.lengths or not (self.lengths[tag] or tag == _PATIENT)
        ]


def read_header(file: RangedFile, key: str) -> Header:
    """Return what a file says it is; ``bytes_read`` is the caller's.

    Args:
        file: the object.
        key: its key, for messages.

    Raises:
        ObjectReadError, HaltError: what the file raises where it is read.
    """
    start = file.read(_PREFIX_AT + len(_PREFIX))
    if start[_PREFIX_AT:] != _PREFIX and not start.startswith(_FIRST_GROUPS):
        return _invalid(key, "is not a DICOM file")
    file.seek(0)
    file.is_cut = False
    tags = _Tags()
    try:
        values = _parsed(file, tags)
    except Exception as error:
        # pydicom raises about anything for malformed bytes, and turns what the file raises into something else.
        if isinstance(error, MemoryError):
            raise
        if file.trouble is not None and not isinstance(file.trouble, _OF_THE_BYTES):
            raise file.trouble from None
        return _unparsed(key, file.trouble or error, is_cut=file.is_cut)
    return _judged(key, tags, values, is_cut=file.is_cut)


def _unparsed(key: str, error: Exception, *, is_cut: bool) -> Header:
    if isinstance(error, HeaderTooLongError):
        return _invalid(key, f"has no image header within its first {MAX_HEADER_BYTES >> 20} MB")
    if is_cut:
        return _invalid(key, "ends within its header: it is cut")
    return _invalid(key, f"begins like a DICOM file, but its header is damaged ({type(error).__name__})")


def _parsed(file: RangedFile, tags: _Tags) -> Mapping[int, Any]:
    """Return the values of ``_READ`` that are there, as pydicom read them: converting one would check it, and warn with it."""
    from pydicom.filereader import read_dataset, read_partial

    wanted: Any = _READ
    try:
        found: Any = read_partial(cast("BinaryIO", file), tags.stop_at, force=True, specific_tags=wanted)
    except ReadToTheEndError:
        # pydicom unpacks a deflated data set whole; this is the same, piece by piece.
        inflated: Any = InflatedFile(file)
        found = read_dataset(inflated, False, True, stop_when=tags.stop_at, specific_tags=wanted)
    return {tag: found.get_item(tag).value for tag in _READ if tag in found}


def _judged(key: str, tags: _Tags, values: Mapping[int, Any], *, is_cut: bool) -> Header:
    if _DIRECTORY_RECORDS in tags.lengths:
        return _invalid(key, "is a DICOMDIR, which lists other files and has no image")
    uids = {tag: _text(values.get(tag)) for tag in _UIDS}
    series = uids[_SERIES].decode("ascii") if _UID.fullmatch(uids[_SERIES]) else None
    if missing := tags.missing:
        # The tags that come before the place of the cut say nothing about those behind it.
        why = "ends within its header, before" if is_cut else "is DICOM, but its header lacks"
        return _invalid(key, f"{why} {_listed(missing)}, which Encord requires", series)
    wrong = [_NAMES[tag] for tag, uid in uids.items() if not _UID.fullmatch(uid)]
    if wrong:
        problem = "which must be digits and dots, at most 64 characters"
        return _invalid(key, f"is DICOM, but its header has a malformed {_listed(wrong)}, {problem}", series)
    modality = _text(values.get(_MODALITY))
    return Header(
        series=series,
        study=uids[_STUDY].decode("ascii"),
        modality=modality.decode("ascii") if _CODE.fullmatch(modality) else None,
    )


def _text(value: Any) -> bytes:
    """Return a value without its padding: UIDs are padded with a zero byte, code strings with a blank."""
    return value.strip(b" \0") if isinstance(value, bytes) else b""


def _invalid(key: str, what: str, series: str | None = None) -> Header:
    message = f"{key!r} {what}. Write it again as a DICOM image, or exclude it by a rule"
    return Header(series=series, problem=INVALID, message=message)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's warnings to itself inside the block, in all threads: they quote values, and malformed files give many."""
    logger = logging.getLogger("pydicom")
    level, muted = logger.level, logging.CRITICAL + 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom\b")
        logger.setLevel(muted)
        try:
            yield
        finally:
            logger.setLevel(level)


def missing_library() -> str | None:
    """Return what has to be installed so that headers can be read; None: it is there."""
    return None if find_spec("pydicom") else "pip install 'registration-pipeline[media]'"
