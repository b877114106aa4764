"""What every state store promises, run against each of them."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import StateConflictError, StateNotFoundError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.state_places import BUCKETS

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.state.store import StateStore
    from registration_pipeline_tests.state_places import StateServers

ODD_NAMES = [
    "fleet/a b.json",
    "fleet/a+b%20c%2F.json",
    "fleet/é-\U0001f600.json",
    "fleet/#?&=.json",
    "fleet/~tilde-_.json",
    "fleet/.hidden/x.json",
    "fleet/" + "n" * 200 + ".json",
]
ILLEGAL_NAMES = ["", "/a", "a/", "a//b", "a/../b", "./a", "a/.", "a\nb", "a\x00b", "a\\b", "a/.tmp-1"]


@pytest.fixture(params=["local", "memory", *(pytest.param(name, marks=pytest.mark.slow) for name in BUCKETS)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateStore:
    if request.param == "local":
        return LocalStateStore(tmp_path / "deep" / "state")
    if request.param == "memory":
        return BucketStateStore(MemoryStore(), "memory://state")
    servers: StateServers = request.getfixturevalue("state_servers")
    return servers.place(request.param, tmp_path).use(monkeypatch).open()


def test_a_created_file_reads_back_and_exists(store: StateStore) -> None:
    store.create("fleet/journal/c1/0001-intent.json", b'{"a":1}')

    assert store.read("fleet/journal/c1/0001-intent.json") == b'{"a":1}'
    assert store.exists("fleet/journal/c1/0001-intent.json")


def test_an_empty_file_is_a_file(store: StateStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    store.create("fleet/a", b"")
    store.create_from_file("fleet/b", tmp_path / "empty")

    assert store.read("fleet/a") == store.read("fleet/b") == b""
    with store.open("fleet/a") as file:
        assert file.read() == b""


def test_a_second_create_conflicts_and_changes_nothing(store: StateStore, tmp_path: Path) -> None:
    store.create("fleet/a.json", b"first")
    (tmp_path / "second").write_bytes(b"second")

    with pytest.raises(StateConflictError, match=r"a\.json exists already"):
        store.create("fleet/a.json", b"second")
    with pytest.raises(StateConflictError, match=r"a\.json exists already"):
        store.create_from_file("fleet/a.json", tmp_path / "second")
    assert store.read("fleet/a.json") == b"first"


def test_create_from_file_copies_the_bytes_and_leaves_the_source(store: StateStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    data = bytes(range(256)) * 8_000
    source.write_bytes(data)
    store.create_from_file("fleet/part.parquet", source)
    source.write_bytes(b"changed afterwards")

    assert store.read("fleet/part.parquet") == data


def test_a_name_that_is_not_there_is_not_found(store: StateStore) -> None:
    store.create("fleet/folder/file", b"x")

    for name in ("fleet/none", "none/at/all", "fleet/folder"):
        assert not store.exists(name)
        with pytest.raises(StateNotFoundError, match=name):
            store.read(name)
        with pytest.raises(StateNotFoundError, match=name):
            store.open(name)
        with pytest.raises(StateNotFoundError, match=name), store.local_file(name):
            pass


def test_names_are_recursive_and_sorted_as_whole_strings(store: StateStore) -> None:
    names = ["a/b.json", "a/b/c.json", "a/b-1/x", "a/b0/x", "a/B", "ab/x", "a/é", "a/z/z/z"]
    for name in names:
        store.create(name, b"x")

    assert list(store.names("a/")) == sorted(name for name in names if name.startswith("a/"))
    assert list(store.names("a/b/")) == ["a/b/c.json"]
    assert list(store.names("")) == sorted(names)


def test_names_go_beyond_one_page(store: StateStore) -> None:
    names = [f"fleet/journal/c{number:05d}/0001-intent.json" for number in range(1_100)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: store.create(name, b"x"), names))

    assert list(store.names("fleet/journal/")) == names
    assert len(store.folders("fleet/journal/")) == 1_100


def test_folders_are_the_ones_directly_below(store: StateStore) -> None:
    for name in ("fleet/plan/w1/_SUCCESS.json", "fleet/plan/w1/deep/x", "fleet/plan/w-0/x", "fleet/plan/file", "top"):
        store.create(name, b"x")

    assert store.folders("fleet/plan/") == ["w-0", "w1"]
    assert store.folders("fleet/") == ["plan"]
    assert store.folders("") == ["fleet"]


def test_an_empty_or_absent_folder_lists_as_empty(store: StateStore, request: pytest.FixtureRequest) -> None:
    assert list(store.names("")) == []
    assert store.folders("") == []

    store.create("fleet/plan/w1/x", b"x")
    store.delete("fleet/plan/w1/x")

    assert list(store.names("fleet/")) == []
    assert store.folders("other/") == []
    if (
        request.node.callspec.params["store"] != "seaweedfs"
    ):  # it keeps empty folders for a while; no reader needs the promise
        assert store.folders("fleet/plan/") == []


def test_delete_removes_one_file_and_is_silent_when_it_is_gone(store: StateStore) -> None:
    store.create("fleet/a", b"x")
    store.create("fleet/b", b"x")

    store.delete("fleet/a")
    store.delete("fleet/a")
    store.delete("nowhere/at/all")

    assert list(store.names("")) == ["fleet/b"]
    store.create("fleet/a", b"again")
    assert store.read("fleet/a") == b"again"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_but_legal_names_come_back_exactly(store: StateStore, name: str) -> None:
    store.create(name, b"odd")

    assert store.read(name) == b"odd"
    assert list(store.names("fleet/")) == [name]
    with store.local_file(name) as path:
        assert path.name == name.rpartition("/")[2]
        assert path.read_bytes() == b"odd"


@pytest.mark.parametrize("name", ILLEGAL_NAMES, ids=repr)
def test_a_name_that_a_store_could_change_is_refused(store: StateStore, name: str) -> None:
    with pytest.raises(ValueError, match="is not a name in the state"):
        store.create(name, b"x")
    with pytest.raises(ValueError, match="is not a name in the state"):
        store.read(name)


def test_a_prefix_without_slash_is_refused(store: StateStore) -> None:
    with pytest.raises(ValueError, match="must end in '/'"):
        list(store.names("fleet"))
    with pytest.raises(ValueError, match="must end in '/'"):
        store.folders("fleet")


def test_open_gives_random_reads(store: StateStore) -> None:
    data = bytes(index % 251 for index in range(3_000_000))
    store.create("fleet/big", data)

    with store.open("fleet/big") as file:
        assert file.seekable()
        assert file.read(10) == data[:10]
        assert file.seek(-5, io.SEEK_END) == len(data) - 5
        assert file.read() == data[-5:]
        assert file.read(1) == b""
        file.seek(1_500_000)
        assert file.read(1_200_000) == data[1_500_000:2_700_000]
        assert file.tell() == 2_700_000


def test_pyarrow_reads_parquet_through_open(store: StateStore, tmp_path: Path) -> None:
    table = pa.table({"key": [f"k{index:06d}" for index in range(20_000)], "size": list(range(20_000))})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=5_000)
    store.create_from_file("fleet/t.parquet", tmp_path / "t.parquet")

    with store.open("fleet/t.parquet") as file:
        assert pq.read_table(file).equals(table)
    with store.open("fleet/t.parquet") as file:
        parquet = pq.ParquetFile(file)
        assert parquet.num_row_groups == 4
        assert parquet.read_row_group(2, columns=["size"])["size"][0].as_py() == 10_000


def test_local_file_has_the_same_base_name_and_bytes(store: StateStore) -> None:
    store.create("fleet/manifests/c1.json", b"{}")

    with store.local_file("fleet/manifests/c1.json") as path:
        assert path.name == "c1.json"
        assert path.read_bytes() == b"{}"
    assert store.read("fleet/manifests/c1.json") == b"{}"


def test_location_is_below_the_uri(store: StateStore) -> None:
    assert store.location("fleet/a.json") == f"{store.uri}/fleet/a.json"


def test_of_eight_threads_that_create_one_name_exactly_one_wins(store: StateStore) -> None:
    threads = 8
    for round_number in range(10):
        name, barrier = f"fleet/race-{round_number}", threading.Barrier(threads)

        def attempt(number: int, name: str = name, barrier: threading.Barrier = barrier) -> int | None:
            barrier.wait()
            try:
                store.create(name, f"writer {number}".encode() * 1_000)
            except StateConflictError:
                return None
            return number

        with ThreadPoolExecutor(threads) as pool:
            winners = [number for number in pool.map(attempt, range(threads)) if number is not None]

        assert len(winners) == 1
        assert store.read(name) == f"writer {winners[0]}".encode() * 1_000
    assert len(list(store.names(""))) == 10
