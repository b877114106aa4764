"""What is found in DICOM files of every odd form, how many bytes it takes, and that nothing about a patient comes out."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet

from registration_pipeline.errors import ObjectReadError
from registration_pipeline.facts.headers.dicom import quiet_pydicom, read_header
from registration_pipeline.facts.headers.schema import INVALID, Header
from registration_pipeline.facts.reading.ranged_file import FIRST_PIECE_BYTES, MAX_HEADER_BYTES, RangedFile
from registration_pipeline_tests.dicom_files import (
    PATIENT,
    SYNTAXES,
    image,
    uid,
    with_long_sequence,
    with_pixels,
    with_private_block,
    written,
)
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from pathlib import Path

FOUND = Header(series=uid(1, 1), study=uid(1), modality="CT")


def read(content: bytes) -> Header:
    """Return what is found, with the bytes that it took."""
    fetch = lambda start, length: content[start : start + length]  # noqa: E731
    with quiet_pydicom(), RangedFile(fetch, len(content)) as file:
        return read_header(file, "a.dcm")._replace(bytes_read=file.bytes_read)


def found(content: bytes) -> Header:
    return read(content)._replace(bytes_read=0)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_of_each_transfer_syntax_is_read(syntax: str) -> None:
    assert found(written(image(), syntax)) == FOUND


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big-endian"])
def test_a_file_without_preamble_and_meta_information_is_read(syntax: str) -> None:
    assert found(written(image(), syntax, meta=False)) == FOUND


def test_a_file_that_begins_with_its_meta_information_is_read() -> None:
    assert found(written(image(), preamble=False)) == FOUND


def test_a_file_in_another_syntax_than_its_meta_information_says_is_read() -> None:
    explicit, implicit = written(image()), written(image(), "implicit", meta=False)
    meta = explicit[: explicit.index(b"\x08\x00\x16\x00")]

    assert found(meta + implicit) == FOUND


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_of_a_large_file_only_the_first_piece_is_read(syntax: str) -> None:
    content = written(with_pixels(image(), 2_000_000), syntax)

    assert read(content) == FOUND._replace(bytes_read=min(FIRST_PIECE_BYTES, len(content)))


@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_a_private_block_before_the_tags_is_skipped_and_not_read(syntax: str) -> None:
    result = read(written(with_pixels(with_private_block(image(), 3_000_000), 1_000_000), syntax))

    assert result._replace(bytes_read=0) == FOUND
    assert result.bytes_read <= 64 << 10


@pytest.mark.parametrize("is_undefined", [False, True], ids=["of known length", "of undefined length"])
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "deflated"])
def test_a_long_sequence_before_the_tags_is_passed_and_its_series_is_not_the_files(
    syntax: str, *, is_undefined: bool
) -> None:
    content = written(with_long_sequence(image(), 500, is_undefined=is_undefined), syntax)

    assert found(content) == FOUND


def test_a_private_block_in_a_deflated_file_is_unpacked_up_to_the_tags() -> None:
    assert found(written(with_private_block(image(), 1_000_000), "deflated")) == FOUND


def test_a_patient_without_an_id_is_valid_and_a_file_without_the_element_is_not() -> None:
    assert found(written(image(PatientID=""))) == FOUND
    assert "lacks PatientID" in str(found(written(image(PatientID=None))).message)


@pytest.mark.parametrize(
    "keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns"], ids=str
)
def test_a_file_that_lacks_what_encord_requires_is_invalid_with_its_name(keyword: str) -> None:
    # With its meta information pydicom writes no file without a SOPInstanceUID.
    missing: dict[str, Any] = {keyword: None}
    result = found(written(image(**missing), meta=keyword != "SOPInstanceUID"))

    # The series is known all the same, so that none of it is registered without this file.
    series = None if keyword == "SeriesInstanceUID" else uid(1, 1)
    assert (result.problem, result.series, result.study) == (INVALID, series, None)
    assert f"lacks {keyword}" in str(result.message)


def test_an_empty_element_is_as_good_as_none() -> None:
    assert "lacks SeriesInstanceUID" in str(found(written(image(SeriesInstanceUID=""))).message)


def test_all_that_is_missing_is_named() -> None:
    message = str(found(written(image(Rows=None, Columns=None, StudyInstanceUID=None))).message)

    assert "lacks StudyInstanceUID, Rows and Columns" in message


@pytest.mark.parametrize(
    "value", [f"{PATIENT}", "1.2." + "3" * 62, "1.2 3", "1.2\\1.3"], ids=["letters", "too long", "blank", "two"]
)
def test_a_malformed_uid_is_invalid_and_its_value_is_not_told(value: str) -> None:
    content = written(image(SeriesInstanceUID="1.2.3"))
    at = content.index(b"\x20\x00\x0e\x00")
    padded = value.encode() + b"\0" * (len(value) % 2)
    changed = content[: at + 6] + struct.pack("<H", len(padded)) + padded + content[at + 8 + 6 :]
    result = found(changed)

    assert (result.problem, result.series) == (INVALID, None)
    assert "malformed SeriesInstanceUID" in str(result.message)
    assert value not in str(result)


def test_a_modality_that_is_not_a_code_is_left_out() -> None:
    assert found(written(image(Modality=None))) == FOUND._replace(modality=None)
    assert found(written(image(Modality="ct scan"))) == FOUND._replace(modality=None)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\xff\xd8\xff\xe0" + bytes(5000), b"PK\x03\x04" * 100, bytes(5000), b"\x00\x00\x00\x18ftypmp42" * 50],
    ids=["nothing", "a byte", "jpeg", "zip", "zeros", "mp4"],
)
def test_what_is_not_dicom_is_said_to_be_none(content: bytes) -> None:
    assert (found(content).problem, found(content).message) == (
        INVALID,
        "'a.dcm' is not a DICOM file. Write it again as a DICOM image, or exclude it by a rule",
    )


@pytest.mark.parametrize("end", [140, 300, 420, 520, 600], ids=str)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_that_ends_within_its_header_is_invalid(syntax: str, end: int) -> None:
    content = written(image(), syntax)
    result = found(content[: min(end, content.find(b"\x28\x00\x11\x00") if syntax != "deflated" else end)])

    assert result.problem in {INVALID, None}
    assert (result.problem is INVALID) == (result.study is None)


def test_a_file_cut_in_an_element_is_said_to_be_cut() -> None:
    content = written(image())

    assert "ends within its header" in str(found(content[: content.index(uid(1, 1).encode()) + 5]).message)


def test_a_file_cut_in_its_pixels_has_its_header() -> None:
    assert found(written(with_pixels(image(), 100_000))[:50_000]) == FOUND


def test_a_dicomdir_is_said_to_be_one(tmp_path: Path) -> None:
    files = FileSet()
    data = image(PixelData=None, StudyTime="101500", StudyID="1", SeriesNumber=1, AccessionNumber="")
    source = tmp_path / "a"
    source.write_bytes(written(data))
    files.add(source)
    files.write(tmp_path / "set")

    message = str(found((tmp_path / "set" / "DICOMDIR").read_bytes()).message)

    assert "is a DICOMDIR" in message
    assert PATIENT not in message


def test_an_image_without_pixels_is_one_for_its_header() -> None:
    assert found(written(image(PixelData=None))) == FOUND


def test_a_header_beyond_the_limit_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registration_pipeline.facts.reading.ranged_file.MAX_HEADER_BYTES", 100_000)
    result = read(written(with_long_sequence(image(), 1_000, is_undefined=True)))

    assert "has no image header within" in str(result.message)
    assert result.bytes_read <= 100_000


def test_an_element_that_claims_gigabytes_is_given_up_without_reading_them() -> None:
    content = written(image())
    at = content.index(b"\x20\x00\x0d\x00UI")
    huge = content[: at + 4] + b"UT\0\0" + struct.pack("<L", 0xFFFFFF00) + bytes(1000)

    assert read(huge).problem is INVALID
    assert read(huge).bytes_read <= len(huge)


def test_a_deflated_bomb_is_given_up() -> None:
    data = with_private_block(image(), MAX_HEADER_BYTES + (1 << 20))

    assert "has no image header within" in str(found(written(data, "deflated")).message)


def test_sequences_nested_without_end_are_invalid() -> None:
    start = written(image(PixelData=None))
    meta = start[: start.index(b"\x08\x00\x16\x00")]
    nested = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"

    assert found(meta + nested * 5000).problem is INVALID


def test_what_the_store_says_is_raised_as_it_is_wherever_it_happens() -> None:
    content = written(with_long_sequence(image(), 500, is_undefined=True))
    trouble = ObjectReadError("changed since the listing")

    def fetch(start: int, length: int) -> bytes:
        if start:
            raise trouble
        return content[:length]

    with quiet_pydicom(), RangedFile(fetch, len(content)) as file, pytest.raises(ObjectReadError) as raised:
        read_header(file, "a.dcm")

    assert raised.value is trouble


def test_a_long_header_lets_the_next_one_go_on() -> None:
    content = written(with_long_sequence(image(), 2_400, is_undefined=True))

    assert len(content) > 300_000
    assert [found(content), found(content)] == [FOUND, FOUND]


def test_warnings_of_pydicom_are_kept_to_itself(
    recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    explicit, implicit = written(image()), written(image(), "implicit", meta=False)

    assert found(explicit[: explicit.index(b"\x08\x00\x16\x00")] + implicit) == FOUND
    assert [str(one.message) for one in recwarn] == []
    assert capfd.readouterr() == ("", "")


@settings(max_examples=examples(30, thorough=1_000), deadline=None)
@given(st.data())
def test_no_damage_to_a_file_ends_in_anything_but_a_row(data: st.DataObject) -> None:
    """Whatever is overwritten or cut, the result is a header or a problem, and never the patient."""
    syntax = data.draw(st.sampled_from([*SYNTAXES]))
    content = bytearray(written(with_long_sequence(image(), 3, is_undefined=data.draw(st.booleans())), syntax))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    result = found(bytes(content[: data.draw(st.integers(0, len(content)))]))

    assert (result.problem is None) == (result.study is not None)
    assert result.series is not None or result.problem is not None
    assert result.problem in {None, INVALID}
    assert PATIENT not in str(result)


def test_the_generator_makes_files_that_pydicom_reads() -> None:
    import pydicom

    read_back = pydicom.dcmread(io.BytesIO(written(image(number=3))))

    assert isinstance(read_back, Dataset)
    assert (read_back.PatientID, read_back.SOPInstanceUID) == (PATIENT, uid(1, 1, 3))
