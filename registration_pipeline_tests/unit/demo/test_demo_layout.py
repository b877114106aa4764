"""What the demo's sources hold, and that breaking and repairing files is exact."""

from __future__ import annotations

import shutil
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from PIL import Image, UnidentifiedImageError

from registration_pipeline.demo.key_map import key_map_path, read_key_map
from registration_pipeline.demo.layout import broken_bytes, bucket_layout, directory_layout
from registration_pipeline.demo.media.media import media_bytes
from registration_pipeline.errors import UsageError
from registration_pipeline.objects import RejectionReason

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.demo.layout import DemoLayout


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> DemoLayout:
    layout = bucket_layout(tmp_path_factory.mktemp("demo") / "bucket")
    layout.write()
    return layout


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``directory_layout`` writes; drawing the pictures takes far longer than copying them."""
    folder = tmp_path_factory.mktemp("demo") / "directory"
    directory_layout(folder).write()
    return folder.parent


@pytest.fixture
def directory(tmp_path: Path, written: Path) -> DemoLayout:
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return directory_layout(tmp_path / "directory")


def keys_of(layout: DemoLayout) -> set[str]:
    return {layout.key(path) for path in layout.folder.rglob("*") if path.is_file()}


def test_the_bucket_holds_three_hundred_good_files_and_one_of_every_trouble(bucket: DemoLayout) -> None:
    assert len(bucket.media) == 300
    assert set(bucket.rejected.values()) == {
        RejectionReason.EMPTY,
        RejectionReason.UNSUPPORTED_TYPE,
        RejectionReason.ARCHIVED,
        RejectionReason.DIRECTORY_MARKER,
    }
    assert len(keys_of(bucket)) == bucket.objects - 1, "all but the directory marker are files"


def test_the_directory_holds_sixty_good_files_and_no_trouble_that_only_buckets_have(directory: DemoLayout) -> None:
    assert len(directory.media) == 60
    assert set(directory.rejected.values()) == {
        RejectionReason.EMPTY,
        RejectionReason.UNSUPPORTED_TYPE,
    }
    assert len(keys_of(directory)) == directory.objects
    assert not key_map_path(directory.folder).exists()


def test_rejected_objects_really_are_what_they_are_rejected_for(bucket: DemoLayout) -> None:
    by_reason = {reason: key for key, reason in bucket.rejected.items()}
    classes = {entry.key: entry.storage_class for entry in read_key_map(bucket.folder)}
    assert (bucket.folder / by_reason[RejectionReason.EMPTY]).stat().st_size == 0
    assert by_reason[RejectionReason.DIRECTORY_MARKER].endswith("/")
    assert classes[by_reason[RejectionReason.ARCHIVED]] == "GLACIER"


def test_one_good_file_has_a_key_that_is_too_long_for_a_title(bucket: DemoLayout, directory: DemoLayout) -> None:
    for layout in (bucket, directory):
        keys = [layout.key(layout.folder / name) for name in (*layout.media, *layout.broken, *layout.excluded)]
        (long,) = [key for key in (*keys, *layout.rejected) if len(key) > 300]
        assert len(long) < 1024
        assert (layout.folder / long).read_bytes() == media_bytes(long, seed=layout.seed)


def test_every_good_file_of_the_bucket_has_its_valid_bytes(bucket: DemoLayout) -> None:
    for name in (*bucket.media[::17], *bucket.media[-5:], *bucket.excluded):
        assert (bucket.folder / name).read_bytes() == media_bytes(name, seed=bucket.seed)


def test_exactly_the_excluded_files_match_the_exclude_rule(bucket: DemoLayout) -> None:
    from pathspec import GitIgnoreSpec

    from registration_pipeline.demo.layout import EXCLUDE_RULE

    rule = GitIgnoreSpec.from_lines([EXCLUDE_RULE])
    assert {key for key in keys_of(bucket) if rule.match_file(key)} == set(bucket.excluded)


def test_broken_files_are_of_no_format_at_all(bucket: DemoLayout) -> None:
    assert len(bucket.broken) == 5
    for path in bucket.broken_paths:
        content = path.read_bytes()
        assert content == broken_bytes(path.relative_to(bucket.folder).as_posix(), seed=bucket.seed)
        assert not content.startswith(b"%PDF-")
        assert content[4:8] != b"ftyp"
        with pytest.raises(UnidentifiedImageError):
            Image.open(BytesIO(content))


def test_broken_pictures_are_broken_in_three_ways(bucket: DemoLayout) -> None:
    pictures = [path.read_bytes() for path in bucket.broken_paths if path.suffix == ".jpg"]
    assert len({content[:2] for content in pictures}) == 3
    assert sum(content.endswith(b"\xff\xd9") for content in pictures) == 1
    assert sum(content.startswith(b"<html>") for content in pictures) == 1


def test_repairing_restores_the_exact_bytes_and_breaking_again_the_same_garbage(directory: DemoLayout) -> None:
    chosen = [*directory.broken_paths, *(directory.folder / name for name in directory.media[:3])]
    directory.repair_files(chosen)
    good = [path.read_bytes() for path in chosen]
    assert good == [media_bytes(path.relative_to(directory.folder).as_posix(), seed=directory.seed) for path in chosen]
    assert directory.break_files(chosen) == chosen
    garbage = [path.read_bytes() for path in chosen]
    assert all(left != right for left, right in zip(good, garbage, strict=True))
    assert directory.repair_files(chosen) == chosen
    assert [path.read_bytes() for path in chosen] == good
    directory.break_files(chosen)
    assert [path.read_bytes() for path in chosen] == garbage


def test_writing_again_creates_only_what_is_missing_and_keeps_repairs(directory: DemoLayout) -> None:
    directory.repair_files(directory.broken_paths)
    repaired = [path.read_bytes() for path in directory.broken_paths]
    gone = directory.folder / directory.media[0]
    gone.unlink()
    assert directory.write() == [gone]
    assert [path.read_bytes() for path in directory.broken_paths] == repaired


def test_ten_new_files_of_a_new_day_are_added_every_time(directory: DemoLayout) -> None:
    before = keys_of(directory)
    first, second = directory.add_files(), directory.add_files()
    assert len(first) == len(second) == 10
    assert {directory.key(path) for path in (*first, *second)}.isdisjoint(before)
    assert len(keys_of(directory)) == len(before) + 20
    assert all(path.read_bytes() == media_bytes(directory.key(path), seed=directory.seed) for path in first)


def test_adding_ends_with_an_explanation_when_the_month_is_over(directory: DemoLayout) -> None:
    for _ in range(8):
        directory.add_files(2)
    with pytest.raises(ValueError, match="every day already"):
        directory.add_files(2)


def test_a_file_outside_the_folder_is_never_broken(directory: DemoLayout, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.jpg"
    stranger.write_bytes(b"precious")
    with pytest.raises(ValueError, match="stranger"):
        directory.break_files([stranger])
    assert stranger.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "content", ["{", '["key"]', '[{"colour": "red"}]'], ids=["no JSON", "no entry", "unknown field"]
)
def test_a_damaged_key_map_is_reported_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / "bucket.json").write_text(content)
    with pytest.raises(UsageError, match=r"bucket\.json is not a key map"):
        read_key_map(tmp_path / "bucket")
