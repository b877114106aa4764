"""A directory tree listed as if it were a bucket."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import (
    NotFoundError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from registration_pipeline.globs import KeyRules
from registration_pipeline.inventory.local import LocalLister
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA, NAME_NOT_UTF8
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.settings import SourceSettings
from registration_pipeline_tests.doses import examples

# Names that sort differently with and without the slash of a directory behind them come often.
NAMES = st.one_of(
    st.sampled_from(["a", "a.txt", "a-b", "a b", "a0", "A", ".a", "é", "\U0001f600", "\uffff", "%2F", "a\nb"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\x00"), min_size=1, max_size=20).filter(
        lambda name: name not in {".", ".."}
    ),
)
PATHS = st.lists(NAMES, min_size=1, max_size=4)


def make_tree(root: Path, *keys: str) -> None:
    for key in keys:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(key))


def keys_of(lister: LocalLister) -> list[str]:
    return [key for batch in lister.list_objects() for key in batch["key"].to_pylist()]


def test_directories_sort_as_if_their_slash_were_part_of_the_name(tmp_path: Path) -> None:
    keys = ["a-b", "a.txt", "a/b", "a/b.txt", "a/b/c", "a0", "A/x", "é", ".hidden/.x", "z/\U0001f600", "z/\uffff"]
    keys.remove("a/b")  # a file and a directory of one name can't be side by side
    make_tree(tmp_path, *keys)

    assert keys_of(LocalLister(tmp_path)) == sorted(keys)


@settings(max_examples=examples(30, thorough=1_000), deadline=None)
@given(paths=st.lists(PATHS, max_size=12), batch_rows=st.integers(1, 4))
def test_any_tree_is_listed_as_its_sorted_keys(paths: list[list[str]], batch_rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        expected = set()
        for path in paths:
            file = Path(folder, *path)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
            except OSError:  # a file stands where this path needs a directory, or the other way round
                continue
            if file.is_file():
                expected.add("/".join(path))
        batches = list(LocalLister(Path(folder), batch_rows=batch_rows).list_objects())

    assert [key for batch in batches for key in batch["key"].to_pylist()] == sorted(expected, key=str.encode)
    assert all(1 <= batch.num_rows <= batch_rows for batch in batches)


@settings(max_examples=examples(20, thorough=600), deadline=None)
@given(paths=st.lists(PATHS, max_size=12), ends=st.sets(PATHS.map("/".join), max_size=4), ranges=st.integers(1, 5))
def test_key_ranges_of_any_tree_list_every_file_once_between_them(
    paths: list[list[str]], ends: set[str], ranges: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            file = Path(folder, *path)
            with suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
        lister = LocalLister(Path(folder))
        found = lister.boundaries(ranges)
        divided = [None, *sorted({*ends, *found}), None]
        pieces = [keys_of(lister.between(after, until)) for after, until in pairwise(divided)]

        assert [key for piece in pieces for key in piece] == keys_of(lister)
        assert all(
            all(key > (after or "") and (until is None or key <= until) for key in piece)
            for piece, (after, until) in zip(pieces, pairwise(divided), strict=True)
        )
        assert list(found) == sorted(set(found))
        assert len(found) < ranges


def test_a_key_range_reads_no_directory_that_has_none_of_its_keys(tmp_path: Path) -> None:
    make_tree(tmp_path, *(f"{folder}/{number}" for folder in "abcdefgh" for number in range(3)))
    lister = LocalLister(tmp_path)

    second = lister.between("c/2", "d/1")

    assert lister.boundaries(4) == ["c/", "e/", "g/"]
    assert keys_of(second) == ["d/0", "d/1"]
    assert second.requests == 3


def test_every_column_is_what_the_file_system_says(tmp_path: Path) -> None:
    make_tree(tmp_path, "d/abc")
    os.utime(tmp_path / "d" / "abc", ns=(0, 1_795_226_400_123_456_789))

    [batch] = LocalLister(tmp_path).list_objects()

    assert batch.schema.equals(INVENTORY_SCHEMA)
    assert batch.to_pylist() == [
        {
            "key": "d/abc",
            "size": 5,
            "last_modified": datetime(2026, 11, 21, 2, 0, 0, 123456, tzinfo=UTC),
            "e_tag": None,
            "storage_class": None,
            "content_type": None,
            "version": None,
        }
    ]


def test_links_to_files_count_and_links_to_directories_do_not(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_tree(root, "real/x")
    make_tree(tmp_path, "outside/abcd")
    (root / "link-to-file").symlink_to(tmp_path / "outside" / "abcd")
    (root / "link-to-directory").symlink_to(root / "real", target_is_directory=True)
    (root / "real" / "upwards").symlink_to(root, target_is_directory=True)
    (root / "broken").symlink_to(root / "nowhere")
    (root / "itself").symlink_to(root / "itself")

    [batch] = LocalLister(root).list_objects()

    assert batch["key"].to_pylist() == ["link-to-file", "real/x"]
    assert batch["size"].to_pylist() == [12, 6]


def test_pipes_and_sockets_are_no_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(tmp_path, "x")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's address has 108 bytes at most
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert keys_of(LocalLister(tmp_path)) == ["x"]


def test_an_empty_tree_has_no_batches(tmp_path: Path) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    lister = LocalLister(tmp_path)

    assert list(lister.list_objects()) == []
    assert lister.requests == 3
    assert lister.description == f"{tmp_path} via scandir"


def test_what_vanishes_while_the_tree_is_read_is_left_out(tmp_path: Path) -> None:
    make_tree(tmp_path, "a", "b", "c/x", "d/x", "e")
    batches = LocalLister(tmp_path, batch_rows=1).list_objects()

    assert next(batches)["key"].to_pylist() == ["a"]
    (tmp_path / "b").unlink()
    (tmp_path / "c" / "x").unlink()
    (tmp_path / "c").rmdir()
    (tmp_path / "d" / "x").unlink()
    (tmp_path / "d").rmdir()
    (tmp_path / "d").touch()

    assert [key for batch in batches for key in batch["key"].to_pylist()] == ["e"]


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_root_that_is_no_directory_is_not_found(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        (tmp_path / "root").touch()

    with pytest.raises(NotFoundError, match=r"root is not a directory.*`sources\.fleet\.uri`"):
        list(LocalLister(tmp_path / "root", source="fleet").list_objects())


def test_an_unreadable_directory_stops_the_listing(plain_user_folder: Path) -> None:
    make_tree(plain_user_folder, "a", "locked/x")
    (plain_user_folder / "locked").chmod(0)

    with pytest.raises(PermissionDeniedError, match=r"locked/ can't be read.*search permission.*sources\.fleet\.uri"):
        list(LocalLister(plain_user_folder, source="fleet").list_objects())


def test_a_directory_that_may_be_read_but_not_searched_stops_the_listing(plain_user_folder: Path) -> None:
    make_tree(plain_user_folder, "a", "locked/x")
    (plain_user_folder / "locked").chmod(0o400)

    with pytest.raises(PermissionDeniedError, match=r"locked/x can't be read.*search permission"):
        list(LocalLister(plain_user_folder).list_objects())


def test_a_path_too_long_for_the_system_is_named_rather_than_skipped(tmp_path: Path) -> None:
    name, folder = "n" * 250, os.open(tmp_path, os.O_RDONLY)
    for _ in range(17):
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)

    with pytest.raises(ServiceUnavailableError, match=r"n/ can't be read: File name too long.*`sources\.fleet\.uri`"):
        list(LocalLister(tmp_path, source="fleet").list_objects())


def put_bytes(root: Path, *names: bytes) -> None:
    for name in names:
        path = os.fsencode(root) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib knows no bytes
        Path(os.fsdecode(path)).write_bytes(b"xyz")


def rows_of(lister: LocalLister) -> list[tuple[str, str | None]]:
    return [(row["key"], row["storage_class"]) for batch in lister.list_objects() for row in batch.to_pylist()]


STRANGE_NAMES = {
    "Latin-1": ([b"d/caf\xe9.jpg"], [r"d/caf\xe9.jpg"]),
    "a folder": ([b"caf\xe9/a.jpg", b"caf\xe9/b/c.jpg"], [r"caf\xe9/a.jpg", r"caf\xe9/b/c.jpg"]),
    "half a surrogate pair": ([b"\xed\xa0\x80.jpg"], [r"\xed\xa0\x80.jpg"]),
    "halves of a character at the borders of two names": ([b"a\xc3", b"\xa9b"], [r"\xa9b", r"a\xc3"]),
    "shown like a name that is there": ([b"a\xe9", rb"a\xe9"], [r"a\xe9", r"a\xe9\x"]),
    "folder shown like one that is there": ([b"a\xe9/x", rb"a\xe9/x"], [r"a\xe9/x", r"a\xe9\x/x"]),
}


@pytest.mark.parametrize(("names", "keys"), STRANGE_NAMES.values(), ids=STRANGE_NAMES)
def test_a_name_that_is_not_utf8_is_listed_and_marked(names: list[bytes], keys: list[str], tmp_path: Path) -> None:
    put_bytes(tmp_path, b"a.jpg", b"\xc3\xa9.jpg", *names)

    rows = rows_of(LocalLister(tmp_path, batch_rows=1))

    assert [key for key, _ in rows] == sorted(["a.jpg", "\u00e9.jpg", *keys])
    strange = [key for key, mark in rows if mark == NAME_NOT_UTF8]
    assert len(strange) == sum(not is_utf8(name) for name in names)


def is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=examples(20, thorough=600), deadline=None)
@given(names=st.sets(st.binary(min_size=1, max_size=3).filter(lambda name: not set(name) & set(b"/\0.")), max_size=6))
def test_names_of_any_bytes_are_listed_once_each_in_order(names: set[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        put_bytes(Path(folder), *names)
        rows = rows_of(LocalLister(Path(folder)))
    assert [key for key, _ in rows] == sorted({key for key, _ in rows})
    assert len(rows) == len(names)
    assert {key.encode() for key, mark in rows if mark is None} == {name for name in names if is_utf8(name)}


@pytest.mark.parametrize(
    ("mode", "exclude", "include"),
    [
        pytest.param(0, ["locked/"], [], id="folder"),
        pytest.param(0, ["/locked/**"], [], id="all below the folder"),
        pytest.param(0, ["**/lock*/**"], [], id="any such folder"),
        pytest.param(0, ["locked"], [], id="name at any depth"),
        pytest.param(0, [], ["open/**"], id="not included"),
        pytest.param(0o400, ["*.tmp"], [], id="its only file"),
    ],
)
def test_what_can_not_be_read_is_left_out_where_a_rule_leaves_it_out(
    plain_user_folder: Path, mode: int, exclude: list[str], include: list[str]
) -> None:
    make_tree(plain_user_folder, "open/a", "locked/x.tmp")
    (plain_user_folder / "locked").chmod(mode)
    said: list[str] = []
    lister = LocalLister(plain_user_folder, source="fleet", rules=KeyRules(include, exclude), notify=said.append)

    assert keys_of(lister) == ["open/a"]
    assert len(said) == 1
    assert "locked/ can't be read" in said[0]


@pytest.mark.parametrize(
    ("exclude", "include"),
    [
        pytest.param(["*.tmp"], [], id="one suffix"),
        pytest.param(["locked/?"], [], id="short names"),
        pytest.param(["locked/[!a]*"], [], id="names but some"),
        pytest.param(["locked/**", "!locked/keep.jpg"], [], id="all but one"),
        pytest.param(["locked/*/**"], [], id="only folders in it"),
        pytest.param([], ["**/*.jpg"], id="included by suffix"),
        pytest.param([], ["lock*/*.jpg"], id="included by a pattern of folders"),
        pytest.param([], ["locked/deep/**"], id="included further down"),
        pytest.param(["open/**"], [], id="another folder"),
    ],
)
def test_a_folder_that_can_not_be_read_halts_where_something_in_it_may_count(
    plain_user_folder: Path, exclude: list[str], include: list[str]
) -> None:
    make_tree(plain_user_folder, "locked/x")
    (plain_user_folder / "locked").chmod(0)

    with pytest.raises(PermissionDeniedError, match=r"locked/ can't be read"):
        list(LocalLister(plain_user_folder, rules=KeyRules(include, exclude)).list_objects())


def test_a_deep_tree_does_not_exhaust_the_stack(tmp_path: Path) -> None:
    depth = 1_100  # beyond Python's recursion limit of 1,000, within the 4,096 bytes of a path
    (tmp_path / "keep").touch()
    folder = tmp_path
    for _ in range(depth):
        folder = folder / "d"
        folder.mkdir()
    (folder / "x").touch()

    try:
        assert keys_of(LocalLister(tmp_path)) == ["d/" * depth + "x", "keep"]
    finally:
        (folder / "x").unlink()
        os.removedirs(folder)  # the clean-up of pytest recurses


def test_settings_with_a_file_address_give_a_local_lister(tmp_path: Path) -> None:
    make_tree(tmp_path, "a b/x.jpg")
    lister = make_lister(SourceSettings(name="fleet", uri=f"file://{tmp_path}/a%20b/"))

    assert pa.Table.from_batches(lister.list_objects())["key"].to_pylist() == ["x.jpg"]
