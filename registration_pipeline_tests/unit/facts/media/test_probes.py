"""A handful of files of each kind: what is found, and what is said of those that can't be understood."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import av
import pytest
from encord.orm.storage import CustomerProvidedDicomSeriesDicomFileMetadata
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pypdf import PdfWriter

from registration_pipeline.facts.media.dicom import TAGS
from registration_pipeline.facts.media.schema import MEDIA_SCHEMA, NO_MEDIA, Media, media_rows
from registration_pipeline_tests.dicom_files import PATIENT, SYNTAXES, image, uid, written
from registration_pipeline_tests.media_samples.images import exif, picture

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.unit.facts.media.conftest import Shelf


def saved(form: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture().save(content, form, **options)
    return content.getvalue()


def movie(path: Path, seconds: int = 2) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        from_image: Any = av.VideoFrame.from_image
        frame = from_image(picture(size=(64, 48)))
        for number in range(25 * seconds):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


def wave(seconds: float = 1.5, bits: int = 24, channels: int = 2, rate: int = 8000) -> bytes:
    align = channels * bits // 8
    data = bytes(int(seconds * rate) * align)
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * align, align, bits)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pdf(pages: int) -> bytes:
    content, writer = io.BytesIO(), PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    writer.write(content)
    return content.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF"])
def test_an_image_has_the_sides_that_it_has(form: str, shelf: Shelf) -> None:
    content = saved(form)

    found = shelf.probe("images/a", content)

    block = {"width": 123, "height": 77, "mime_type": f"image/{form.lower()}", "file_size": len(content)}
    assert found.block == block


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_that_is_turned_by_a_quarter_has_its_sides_swapped(form: str, orientation: int, shelf: Shelf) -> None:
    found = shelf.probe("images/a", saved(form, exif=exif(orientation)))

    assert found.block is not None
    is_turned = orientation >= 5
    assert (found.block["width"], found.block["height"]) == ((77, 123) if is_turned else (123, 77))


def test_an_image_of_too_many_pixels_to_decode_has_sides_all_the_same(shelf: Shelf) -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 2_000_000_000, 2_000_000_000, 16, 6, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    pixels = struct.pack(">I", 1 << 30) + b"IDAT" + bytes(64)

    found = shelf.probe("images/bomb.png", b"\x89PNG\r\n\x1a\n" + header + pixels)

    assert found.block is not None
    assert found.block["width"] == 2_000_000_000


def test_a_movie_says_its_frame_rate_length_and_sides(shelf: Shelf, tmp_path: Path) -> None:
    content = movie(tmp_path / "movie.mp4")

    found = shelf.probe("videos/a", content)

    assert found.block == {
        "fps": 25.0,
        "duration": 2.0,
        "width": 64,
        "height": 48,
        "mime_type": "video/mp4",
        "file_size": len(content),
    }


def test_sound_says_its_bit_depth(shelf: Shelf) -> None:
    content = wave()

    found = shelf.probe("audio/a", content)

    assert found.block == {
        "duration": 1.5,
        "sample_rate": 8000,
        "bit_depth": 24,
        "codec": "pcm",
        "num_channels": 2,
        "mime_type": "audio/wav",
        "file_size": len(content),
    }


def test_a_pdf_file_says_its_pages(shelf: Shelf) -> None:
    content = pdf(12)

    assert shelf.probe("pdfs/a", content).block == {"num_pages": 12, "file_size": len(content)}


@pytest.mark.parametrize(
    ("name", "content", "mime_type"),
    [
        pytest.param("a.txt", b"text", "text/plain", id="plain"),
        pytest.param("a.json", b"[1]", "application/json", id="json"),
        pytest.param("a.html", b"<p>text", "text/html", id="html"),
        pytest.param("a", b"\xef\xbb\xbf<!DOCTYPE html>", "text/html", id="html-by-content-behind-a-mark"),
        pytest.param("a", "{}".encode("utf-16"), "application/json", id="json-in-utf-16"),
        pytest.param("a", "text without a mark".encode("utf-16-le"), "text/plain", id="utf-16-without-a-mark"),
        pytest.param("a", "Köln".encode("latin-1"), "text/plain", id="latin-1"),
        pytest.param("a.txt", "字".encode() * 20_000, "text/plain", id="a-character-at-the-end-of-what-is-read"),
    ],
)
def test_text_has_the_mime_type_of_its_suffix_or_else_of_its_content(
    name: str, content: bytes, mime_type: str, shelf: Shelf
) -> None:
    assert shelf.probe(f"text/{name}", content).block == {"mime_type": mime_type, "file_size": len(content)}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_dicom_gives_the_tags_that_the_sdk_takes_and_nothing_about_a_patient(syntax: str, shelf: Shelf) -> None:
    frame = Dataset()
    frame.PatientName, frame.FrameComments, frame.FrameReferenceDateTime = PATIENT, PATIENT, "19600101"
    frame.PixelSpacing = [0.5, 0.5]
    frame.add_new(0x00110010, "LO", PATIENT)
    data = image(SliceThickness="2.5", WindowCenter=[40, 50], SharedFunctionalGroupsSequence=Sequence([frame]))

    found = shelf.probe("dicom_series/a", written(data, syntax))

    assert found.block is not None
    tags = CustomerProvidedDicomSeriesDicomFileMetadata(tags=found.block["tags"]).tags
    assert set(tags) == {f"{tag:08X}" for tag in TAGS}
    assert len(tags) == 22
    assert tags["00100020"] is None
    assert tags["00080018"] == {"vr": "UI", "Value": [uid(1, 1, 1)]}
    assert tags["00180050"] == {"vr": "DS", "Value": [2.5]}
    assert tags["52009229"] == {"vr": "SQ", "Value": [{"00280030": {"vr": "DS", "Value": [0.5, 0.5]}}]}
    rows = media_rows([shelf.listed("dicom_series/a")], [found])
    assert PATIENT not in str(rows.to_pylist())
    assert "1960" not in str(rows.to_pylist())


@pytest.mark.parametrize(
    ("key", "content", "why"),
    [
        pytest.param("images/a.jpg", b"", "is empty", id="empty"),
        pytest.param("images/a.jpg", saved("JPEG")[:40], "ends within its header: it is cut", id="cut-image"),
        pytest.param("images/a.png", b"<html>", "is not an image", id="no-image"),
        pytest.param("videos/a.mp4", b"#EXTM3U\nfile:///etc/passwd\n", "is not a video", id="playlist"),
        pytest.param("videos/a.mp4", b"\0\0\0\x18ftypisom" + bytes(100), "is damaged or cut", id="empty-movie"),
        pytest.param("audio/a.mp3", b"text", "is not audio", id="no-audio"),
        pytest.param("audio/a.mp3", b"\xff\xfb\x90\x00" + bytes(500), "there are no MPEG frames", id="no-frames"),
        pytest.param("pdfs/a.pdf", b"text", "is not a PDF file", id="no-pdf"),
        pytest.param("pdfs/a.pdf", b"%PDF-1.7\n" + bytes(500), "is damaged", id="damaged-pdf"),
        pytest.param("text/a.txt", bytes(range(256)) * 10, "is not text", id="no-text"),
        pytest.param("dicom_series/a.dcm", b"text", "is not a DICOM file", id="no-dicom"),
        pytest.param("nifti/a.nii", b"text", "is of a kind for which Encord accepts no media metadata", id="nifti"),
    ],
)
def test_a_file_that_can_t_be_understood_is_named_with_what_is_wrong(
    key: str, content: bytes, why: str, shelf: Shelf
) -> None:
    found = shelf.probe(key, content)

    assert (found.block, found.problem) == (None, NO_MEDIA)
    assert found.message is not None
    assert found.message.startswith(repr(key))
    assert why in found.message
    assert found.message.endswith("exclude it by a rule")


def test_a_movie_without_pictures_is_not_a_video(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=44_100, layout="mono")
        frame = av.AudioFrame("s16", "mono", 1024)
        frame.sample_rate, frame.pts = 44_100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())

    found = shelf.probe("videos/a", path.read_bytes())

    assert found.problem == NO_MEDIA
    assert "there is no video track in it" in str(found.message)


def test_rows_have_the_block_as_canonical_json(shelf: Shelf) -> None:
    (shelf.root / "images").mkdir()
    (shelf.root / "images/a").write_bytes(b"")
    found = [Media(block={"width": 1, "height": 2}, bytes_read=7)]

    rows = media_rows([shelf.listed("images/a")], found)

    assert rows.schema == MEDIA_SCHEMA
    assert rows.column("media_metadata").to_pylist() == ['{"height":2,"width":1}']
