"""Every generated file is valid for its kind, and the same seed gives the same bytes."""

from __future__ import annotations

import gzip
import json
import math
import re
import struct
import wave
from html.parser import HTMLParser
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from registration_pipeline.demo.extra import require_demo_extra
from registration_pipeline.demo.media.media import content_type, media_bytes, write_media
from registration_pipeline.demo.media.names import media_names
from registration_pipeline.errors import UsageError
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SINGLE_KINDS = [kind for kind, spec in KINDS.items() if not spec.is_group]
COUNTS = dict.fromkeys(SINGLE_KINDS, 12) | {MediaKind.IMAGE: 48}
CONTAINERS = {"moov", "trak", "mdia", "minf", "dinf", "stbl"}
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}


class TagRecorder(HTMLParser):
    """Records every element and refuses one that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002  # the parser passes it
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def generate_media(folder: Path, *, seed: int, counts: Mapping[MediaKind, int]) -> list[Path]:
    """Write the files of a demo of these kinds, in the order of their keys."""
    return [write_media(folder, name, seed=seed) for name in sorted(media_names(counts))]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return generate_media(tmp_path_factory.mktemp("media"), seed=7, counts=COUNTS)


def with_ending(paths: list[Path], *endings: str) -> list[Path]:
    found = [path for path in paths if path.name.lower().endswith(endings)]
    assert found, f"nothing generated with {endings}"
    return found


def boxes(data: bytes, start: int = 0, end: int | None = None, path: str = "") -> Iterator[tuple[str, int, bytes]]:
    """Walk ISO BMFF boxes: (path, offset of the content, content). Fails unless the boxes fill the range exactly."""
    end = len(data) if end is None else end
    while start < end:
        size, name = struct.unpack_from(">I4s", data, start)
        here = f"{path}/{name.decode('ascii')}"
        assert 8 <= size <= end - start, f"{here} at {start} does not fit"
        yield here, start + 8, data[start + 8 : start + size]
        if name.decode("ascii") in CONTAINERS:
            yield from boxes(data, start + 8, start + size, here)
        start += size
    assert start == end


def samples(data: bytes) -> list[bytes]:
    """The samples of a one-chunk track, found through its tables."""
    tables = {name.rsplit("/", 1)[1]: content for name, _, content in boxes(data) if "/stbl/" in name}
    _, size, count = struct.unpack_from(">3I", tables["stsz"])
    assert size == 0
    sizes = struct.unpack_from(f">{count}I", tables["stsz"], 12)
    assert struct.unpack(">5I", tables["stsc"]) == (0, 1, 1, count, 1)
    assert struct.unpack_from(">3I", tables["stts"]) == (0, 1, count)
    _, chunks, offset = struct.unpack(">3I", tables["stco"])
    assert chunks == 1
    starts = [offset + sum(sizes[:index]) for index in range(count)]
    return [data[at : at + length] for at, length in zip(starts, sizes, strict=True)]


def test_every_picture_opens_loads_and_is_of_the_format_that_its_ending_says(generated: list[Path]) -> None:
    formats = set()
    for path in with_ending(generated, *FORMATS):
        with Image.open(path) as picture:
            picture.load()
            assert (picture.format, picture.size) == (FORMATS[path.suffix.lower()], (320, 240))
            formats.add(picture.format)
    assert formats == {"JPEG", "PNG", "WEBP", "BMP"}


def test_frames_of_a_camera_differ_from_one_another(generated: list[Path]) -> None:
    contents = [path.read_bytes() for path in with_ending(generated, *FORMATS)]
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize(("ending", "brand", "entry"), [(".mp4", b"isom", b"mp4v"), (".mov", b"qt  ", b"jpeg")])
def test_a_video_is_a_whole_box_tree_whose_sample_tables_point_at_frames_in_mdat(
    generated: list[Path], ending: str, brand: bytes, entry: bytes
) -> None:
    for path in with_ending(generated, ending):
        data = path.read_bytes()
        tree = {name: (at, content) for name, at, content in boxes(data)}
        assert next(iter(tree)) == "/ftyp"
        assert tree["/ftyp"][1].startswith(brand)
        assert tree["/moov/trak/mdia/minf/stbl/stsd"][1][12:16] == entry
        frames = samples(data)
        assert b"".join(frames) == tree["/mdat"][1]
        assert len(frames) == 8
        for frame in frames:
            with Image.open(BytesIO(frame)) as picture:
                picture.load()
                assert (picture.format, picture.size) == ("JPEG", (320, 240))
        assert len(set(frames)) == len(frames)


def test_every_duration_in_a_video_is_two_seconds(generated: list[Path]) -> None:
    tree = {name: content for name, _, content in boxes(with_ending(generated, ".mp4")[0].read_bytes())}
    _, _, _, scale, duration = struct.unpack_from(">5I", tree["/moov/mvhd"])
    assert duration == 2 * scale
    assert struct.unpack_from(">I", tree["/moov/trak/tkhd"], 20) == (duration,)
    assert struct.unpack_from(">2I", tree["/moov/trak/mdia/mdhd"], 12) == (scale, duration)
    _, _, count, ticks = struct.unpack(">4I", tree["/moov/trak/mdia/minf/stbl/stts"])
    assert count * ticks == duration


def test_the_sample_entry_of_an_mp4_declares_jpeg(generated: list[Path]) -> None:
    tree = {name: content for name, _, content in boxes(with_ending(generated, ".mp4")[0].read_bytes())}
    description = tree["/moov/trak/mdia/minf/stbl/stsd"]
    assert struct.unpack_from(">2H", description, 8 + 8 + 24) == (320, 240)
    esds = description[description.index(b"esds") + 8 :]
    assert esds[0] == 3
    assert esds[1] == len(esds) - 2
    assert (esds[5], esds[7]) == (4, 0x6C)


def test_every_wav_is_one_second_of_an_audible_tone_without_clipping(generated: list[Path]) -> None:
    for path in with_ending(generated, ".wav"):
        with wave.open(str(path), "rb") as sound:
            assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 8000)
            assert sound.getnframes() == 8000
            tone = struct.unpack("<8000h", sound.readframes(8000))
        assert 8000 < max(tone) < 32767
        assert path.stat().st_size == 44 + 16000


def test_every_pdf_has_a_cross_reference_table_that_points_at_its_objects(generated: list[Path]) -> None:
    for path in with_ending(generated, ".pdf"):
        data = path.read_bytes()
        assert data.startswith(b"%PDF-1.4\n")
        assert data.endswith(b"%%EOF\n")
        found = re.search(rb"startxref\n(\d+)\n", data)
        assert found is not None
        table = data[int(found[1]) :]
        assert table.startswith(b"xref\n0 6\n")
        entries = [table[9 + 20 * index : 29 + 20 * index] for index in range(6)]
        assert entries[0] == b"0000000000 65535 f \n"
        assert table[9 + 20 * 6 :].startswith(b"trailer\n<< /Size 6 /Root 1 0 R >>")
        for number, entry in enumerate(entries[1:], start=1):
            assert entry[10:] == b" 00000 n \n"
            assert data[int(entry[:10]) :].startswith(b"%d 0 obj\n" % number)


def test_the_stream_of_a_pdf_is_as_long_as_it_says_and_holds_text(generated: list[Path]) -> None:
    for path in with_ending(generated, ".pdf"):
        data = path.read_bytes()
        found = re.search(rb"/Length (\d+) >>\nstream\n", data)
        assert found is not None
        end = found.end() + int(found[1])
        assert data[end:].startswith(b"\nendstream\nendobj\n")
        stream = data[found.end() : end]
        assert b"(Inspection report " in stream
        assert len(re.findall(rb"(?<!\\)\(", stream)) == len(re.findall(rb"(?<!\\)\)", stream)) == 5


def test_every_text_file_parses_in_its_own_language(generated: list[Path]) -> None:
    for path in with_ending(generated, ".json"):
        assert isinstance(json.loads(path.read_bytes()), dict)
    for path in with_ending(generated, ".txt"):
        assert path.read_bytes().decode("utf-8").startswith("Note ")
    for path in with_ending(generated, ".html"):
        parser = TagRecorder()
        parser.feed(path.read_bytes().decode("utf-8"))
        parser.close()
        assert parser.open == []
        assert parser.seen[:2] == ["html", "head"]
        assert parser.seen.count("li") == 3


def test_every_nifti_header_agrees_with_the_size_of_the_volume(generated: list[Path]) -> None:
    for path in with_ending(generated, ".nii", ".nii.gz"):
        data = path.read_bytes()
        data = gzip.decompress(data) if path.name.endswith(".gz") else data
        dimensions = struct.unpack_from("<8h", data, 40)
        data_type, bits = struct.unpack_from("<2h", data, 70)
        (offset,) = struct.unpack_from("<f", data, 108)
        assert struct.unpack_from("<i", data, 0) == (348,)
        assert data[344:348] == b"n+1\0"
        assert data[348:352] == bytes(4)
        assert (data_type, bits, offset, dimensions[0]) == (4, 16, 352.0, 3)
        assert len(data) == 352 + math.prod(dimensions[1:4]) * bits // 8
        voxels = struct.unpack_from(f"<{math.prod(dimensions[1:4])}h", data, 352)
        assert min(voxels) == 0
        assert max(voxels) > 900


def test_the_affine_of_a_nifti_puts_the_volume_around_the_origin() -> None:
    data = media_bytes("a.nii", seed=7)
    spacing = struct.unpack_from("<3f", data, 80)
    affine = [struct.unpack_from("<4f", data, 280 + 16 * row) for row in range(3)]
    assert [affine[axis][axis] for axis in range(3)] == list(spacing)
    assert struct.unpack_from("<2h", data, 252) == (1, 1)
    assert struct.unpack_from("<3f", data, 268) == tuple(row[3] for row in affine)


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    counts = dict.fromkeys(SINGLE_KINDS, 3)
    trees = []
    for name, seed in (("first", 7), ("second", 7), ("third", 8)):
        folder = tmp_path / name
        trees.append(
            {str(p.relative_to(folder)): p.read_bytes() for p in generate_media(folder, seed=seed, counts=counts)}
        )
    assert trees[0] == trees[1]
    assert trees[0].keys() == trees[2].keys()
    assert all(trees[0][name] != trees[2][name] for name in trees[0] if name.endswith((".jpg", ".mp4", ".nii.gz")))


def test_a_second_generation_does_not_touch_files_that_are_right_and_mends_those_that_are_not(tmp_path: Path) -> None:
    paths = generate_media(tmp_path, seed=7, counts={MediaKind.TEXT: 3})
    before = [path.stat().st_mtime_ns for path in paths]
    good = paths[2].read_bytes()
    paths[2].write_bytes(b"spoiled")
    assert generate_media(tmp_path, seed=7, counts={MediaKind.TEXT: 3}) == paths
    assert [path.stat().st_mtime_ns for path in paths[:2]] == before[:2]
    assert paths[2].read_bytes() == good


@pytest.mark.parametrize("kind", SINGLE_KINDS)
def test_the_asked_number_of_distinct_names_comes_back_for_every_kind(kind: MediaKind) -> None:
    for count in (0, 1, 2, 5, 40, 400):
        names = media_names({kind: count})
        assert len(names) == len(set(names)) == count


def test_names_stay_distinct_on_file_systems_that_fold_case_and_normalise() -> None:
    import unicodedata

    names = media_names(dict.fromkeys(SINGLE_KINDS, 200))
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(names)


def test_hard_names_cover_what_breaks_careless_url_building() -> None:
    import unicodedata

    names = media_names({MediaKind.IMAGE: 40})
    text = "".join(names)
    assert set(" +%#&=;'[]~") <= set(text)
    assert any(name != unicodedata.normalize("NFC", name) for name in names)
    assert any(name != unicodedata.normalize("NFD", name) for name in names)
    assert any(ord(character) > 0xFFFF for character in text)
    assert any(name.endswith(".JPG") for name in names)
    assert any("%2F" in name for name in names)


@settings(max_examples=examples(10, thorough=300), deadline=None)
@given(st.text(min_size=1).map(lambda name: f"notes/{name}.pdf"))
def test_any_name_at_all_can_be_rendered_as_a_pdf(name: str) -> None:
    assert media_bytes(name, seed=1).startswith(b"%PDF-")


def test_an_unknown_ending_is_refused() -> None:
    with pytest.raises(ValueError, match="endings that can be generated"):
        media_bytes("tools/player.exe", seed=1)


@pytest.mark.parametrize(
    ("name", "mime"),
    [("A.JPG", "image/jpeg"), ("a.nii.gz", "application/gzip"), ("a.exe", "application/octet-stream")],
    ids=["upper case", "double ending", "unknown"],
)
def test_content_types_follow_the_ending(name: str, mime: str) -> None:
    assert content_type(name) == mime


def test_a_missing_package_is_reported_with_the_command_that_installs_it() -> None:
    with pytest.raises(UsageError, match=r"pip install 'registration-pipeline\[demo\]'"):
        require_demo_extra({"no_such_module_of_the_demo": "pillow"})
