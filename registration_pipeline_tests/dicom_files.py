"""Makes DICOM files with pydicom: no picture of anybody, no file from outside.

What does not belong here: putting them into stores, and what is expected of them.
"""

from __future__ import annotations

import io
import warnings
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

PATIENT: Final = "PATIENT-4711"
"""The PatientID of every file: it must be found nowhere else."""

SYNTAXES: Final = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}
_ROOT: Final = "1.2.826.0.1.3680043.8.498"


def uid(*numbers: int) -> str:
    """Return a UID below pydicom's own root."""
    return ".".join([_ROOT, *map(str, numbers)])


def image(study: int = 1, series: int = 1, number: int = 1, **values: Any) -> Dataset:
    """Return a small CT image.

    Args:
        study: its number.
        series: its number in all studies.
        number: of the image in its series.
        values: elements by keyword; None leaves the element out.
    """
    data = Dataset()
    elements = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": uid(study, series, number),
        "StudyDate": "20260101",
        "Modality": "CT",
        "PatientName": f"{PATIENT}^NAME",
        "PatientID": PATIENT,
        "PatientBirthDate": "19600101",
        "StudyInstanceUID": uid(study),
        "SeriesInstanceUID": uid(study, series),
        "InstanceNumber": number,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 8,
        "Columns": 8,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": bytes(128),
        **values,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some values are wrong on purpose
        for keyword, value in elements.items():
            if value is not None:
                setattr(data, keyword, value)
    return data


def with_pixels(data: Dataset, size: int) -> Dataset:
    """Return the image with so many bytes of pixels, whatever its rows and columns say."""
    data.PixelData = bytes(size)
    return data


def written(data: Dataset, syntax: str = "explicit", *, preamble: bool = True, meta: bool = True) -> bytes:
    """Return the file.

    Args:
        data: what is in it.
        syntax: a key of ``SYNTAXES``.
        preamble: False: without the 128 bytes and ``DICM`` at its beginning.
        meta: False: without the file meta information, and without a preamble.
    """
    transfer_syntax = SYNTAXES[syntax]
    buffer = io.BytesIO()
    if "PixelData" in data:
        data["PixelData"].VR = "OW"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = transfer_syntax
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these files are wrong on purpose
        if meta:
            dcmwrite(buffer, data, enforce_file_format=True)
        else:
            del data.file_meta
            implicit = transfer_syntax.is_implicit_VR
            dcmwrite(buffer, data, implicit_vr=implicit, little_endian=transfer_syntax.is_little_endian)
    found = buffer.getvalue()
    return found if preamble or not meta else found[132:]


def with_private_block(data: Dataset, size: int) -> Dataset:
    """Return the image with a private element of so many bytes before the tags that are needed."""
    block = data.private_block(0x0009, "TESTS", create=True)
    block.add_new(0x01, "OB", bytes(size))
    return data


def with_long_sequence(data: Dataset, items: int, *, is_undefined: bool) -> Dataset:
    """Return the image with a sequence before the tags that are needed, whose items look like an image themselves."""
    sequence = Sequence()
    for number in range(items):
        item = Dataset()
        item.ReferencedSOPClassUID = CTImageStorage
        item.ReferencedSOPInstanceUID = uid(9, number)
        item.SeriesInstanceUID = uid(9, 9, 9)
        item.is_undefined_length_sequence_item = is_undefined
        sequence.append(item)
    data.ReferencedImageSequence = sequence
    data["ReferencedImageSequence"].is_undefined_length = is_undefined
    return data
