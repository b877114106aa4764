"""The tags of a DICOM file that Encord's typed form takes, read with pydicom, and nothing about a patient.

What does not belong here: which series a file is in (``facts/headers``). Runs in a worker process (``worker.py``).

The form requires the 22 tags of ``TAGS`` as keys, in the form of pydicom's ``to_json_dict``; "their corresponding values may
be None" (``encord.orm.storage.CustomerProvidedDicomSeriesDicomFileMetadata``). PatientID is the only one of them that says who
the patient is: its value is never read and is None in what is sent. The sequences could hold anything: of what is in them only
numbers and codes are kept (``_KEPT_FORMS``), and nothing from private groups or from the patient's group 0010.
"""

from __future__ import annotations

import logging
import warnings
import zlib
from typing import TYPE_CHECKING, Any, Final, cast

from registration_pipeline.facts.media.schema import MOST_BLOCK_BYTES
from registration_pipeline.facts.media.trouble import CUT, NotUnderstoodError
from registration_pipeline.facts.reading.ranged_file import (
    MAX_HEADER_BYTES,
    HeaderTooLongError,
    InflatedFile,
    RangedFile,
    ReadToTheEndError,
)
from registration_pipeline.state.sealed import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from pydicom.dataset import Dataset

PATIENT_ID: Final = 0x00100020

TAGS: Final[Mapping[int, str]] = {
    0x00080018: "SOPInstanceUID",
    PATIENT_ID: "PatientID",
    0x00180050: "SliceThickness",
    0x00181114: "EstimatedRadiographicMagnificationFactor",
    0x00181164: "ImagerPixelSpacing",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
    0x00200013: "InstanceNumber",
    0x00200032: "ImagePositionPatient",
    0x00200037: "ImageOrientationPatient",
    0x00209113: "PlanePositionSequence",
    0x00209116: "PlaneOrientationSequence",
    0x00280004: "PhotometricInterpretation",
    0x00280008: "NumberOfFrames",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280030: "PixelSpacing",
    0x00281050: "WindowCenter",
    0x00281051: "WindowWidth",
    0x00289110: "PixelMeasuresSequence",
    0x52009229: "SharedFunctionalGroupsSequence",
    0x52009230: "PerFrameFunctionalGroupsSequence",
}
"""In the order of the SDK's list."""

_REQUIRED: Final = (0x00080018, 0x0020000D, 0x0020000E, 0x00280010, 0x00280011)
"""Without which Encord takes no DICOM file at all, PatientID aside (facts of its documentation, "Data files")."""

_KEPT_FORMS: Final = frozenset({"SQ", "DS", "FD", "FL", "IS", "US", "UL", "SS", "SL", "UV", "SV", "CS", "AT"})
"""Value representations of numbers, codes and sequences of these. Names, texts, dates, times, ages and UIDs are not kept."""

_PATIENT_GROUP: Final = 0x0010
_PIXELS: Final = 0x7FE00000
_MOST_DEPTH: Final = 8

_OF_THE_BYTES: Final = (EOFError, HeaderTooLongError, RecursionError, zlib.error)
_PREFIX_AT, _PREFIX = 128, b"DICM"
_FIRST_GROUPS: Final = (b"\x02\x00", b"\x08\x00", b"\x00\x08")


def probe_dicom(file: RangedFile, key: str) -> dict[str, Any]:  # noqa: ARG001 - all probes are called alike
    """Return the block of media metadata.

    Raises:
        NotUnderstoodError: it is not a DICOM image, or is damaged.
    """
    start = file.read(_PREFIX_AT + len(_PREFIX))
    if start[_PREFIX_AT:] != _PREFIX and not start.startswith(_FIRST_GROUPS):
        raise NotUnderstoodError("is not a DICOM file")
    file.seek(0)
    file.is_cut = False
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # its warnings quote values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tags = _tags(_parsed(file))
        except NotUnderstoodError:
            raise
        except Exception as error:
            # pydicom raises about anything for malformed bytes, and turns what the file raises into something else.
            if isinstance(error, MemoryError):
                raise
            if file.trouble is not None and not isinstance(file.trouble, _OF_THE_BYTES):
                raise file.trouble from None
            raise NotUnderstoodError(_why(file.trouble or error, is_cut=file.is_cut)) from None
    block = {"tags": tags}
    if len(canonical_json(block)) > MOST_BLOCK_BYTES:
        raise NotUnderstoodError(f"has tags of more than {MOST_BLOCK_BYTES >> 20} MB, too many for a manifest")
    return block


def _why(error: Exception, *, is_cut: bool) -> str:
    if isinstance(error, HeaderTooLongError):
        return f"has no image header within its first {MAX_HEADER_BYTES >> 20} MB"
    return CUT if is_cut else f"begins like a DICOM file, but its header is damaged ({type(error).__name__})"


def _parsed(file: RangedFile) -> Dataset:
    from pydicom.filereader import read_dataset, read_partial

    wanted: Any = [tag for tag in TAGS if tag != PATIENT_ID]

    def stop_at(tag: Any, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom's signature
        return int(tag) >= _PIXELS

    try:
        return read_partial(cast("BinaryIO", file), stop_at, force=True, specific_tags=wanted)
    except ReadToTheEndError:
        # pydicom unpacks a deflated data set whole; this is the same, piece by piece.
        file.trouble = None
        inflated: Any = InflatedFile(file)
        return read_dataset(
            inflated, is_implicit_VR=False, is_little_endian=True, stop_when=stop_at, specific_tags=wanted
        )


def _tags(found: Dataset) -> dict[str, dict[str, Any] | None]:
    kept = _without_texts(found, 0)
    values = kept.to_json_dict(suppress_invalid_tags=True)
    tags = {f"{tag:08X}": values.get(f"{tag:08X}") for tag in TAGS}
    missing = [TAGS[tag] for tag in _REQUIRED if not (tags[f"{tag:08X}"] or {}).get("Value")]
    if missing:
        raise NotUnderstoodError(f"is DICOM, but its header lacks {', '.join(missing)}, which Encord requires")
    return tags


def _without_texts(data: Dataset, depth: int) -> Dataset:
    """Return the elements that may be kept: at the top all of ``TAGS`` but PatientID, in sequences numbers and codes."""
    from pydicom.dataset import Dataset as NewDataset
    from pydicom.sequence import Sequence

    if depth > _MOST_DEPTH:
        raise NotUnderstoodError("is DICOM with sequences in sequences, deeper than any image has them")
    kept = NewDataset()
    for tag in list(data.keys()):
        number = int(tag)
        if number not in TAGS if depth == 0 else number >> 16 & 1 or number >> 16 == _PATIENT_GROUP:
            continue
        if number == PATIENT_ID:
            continue
        element = data[tag]
        if depth and element.VR not in _KEPT_FORMS:
            continue
        if element.VR == "SQ":
            items = [_without_texts(item, depth + 1) for item in element.value or []]
            kept.add_new(tag, "SQ", Sequence(items))
        else:
            kept.add(element)
    return kept
