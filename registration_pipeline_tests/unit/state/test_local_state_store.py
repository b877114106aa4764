"""What only the state on a file system does: durability's leftovers, and errors with the way out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from registration_pipeline.errors import ConfigurationError, StateConflictError, StateError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.factory import open_state_store
from registration_pipeline.state.local import LocalStateStore


def test_no_temporary_file_stays_behind(tmp_path: Path) -> None:
    store = LocalStateStore(tmp_path)
    store.create("fleet/a", b"x")
    with pytest.raises(StateConflictError):
        store.create("fleet/a", b"y")

    assert list((tmp_path / "fleet").iterdir()) == [tmp_path / "fleet" / "a"]


def test_the_temporary_file_of_a_killed_writer_is_not_listed(tmp_path: Path) -> None:
    store = LocalStateStore(tmp_path)
    (tmp_path / "fleet" / "plan").mkdir(parents=True)
    (tmp_path / "fleet" / "plan" / ".tmp-0123").write_bytes(b"half")

    assert list(store.names("")) == []
    assert store.folders("fleet/") == []


def test_a_finished_file_can_be_read_by_others_as_the_umask_says(tmp_path: Path) -> None:
    LocalStateStore(tmp_path).create("a", b"x")
    plain = tmp_path / "plain"
    plain.touch()

    assert (tmp_path / "a").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        (errno.ENOSPC, "free space there"),
        (errno.EDQUOT, "raise the quota"),
        (errno.EACCES, "read and write access"),
        (errno.EROFS, "mount it writable"),
        (errno.EOPNOTSUPP, "no hard links"),
        (errno.EIO, "set `state` in registration.yaml"),
    ],
    ids=errno.errorcode.get,
)
def test_trouble_of_the_file_system_names_the_path_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, way_out: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    # A full or read-only disk can't be had without root, so the one call that meets it is made to fail.
    monkeypatch.setattr(Path, "hardlink_to", refuse)

    with pytest.raises(StateError, match="fleet/a") as caught:
        LocalStateStore(tmp_path).create("fleet/a", b"x")

    assert way_out in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    assert list((tmp_path / "fleet").iterdir()) == []


def test_a_folder_without_permission_is_a_state_error_for_readers_and_writers(plain_user_folder: Path) -> None:
    store = LocalStateStore(plain_user_folder)
    store.create("fleet/a", b"x")
    (plain_user_folder / "fleet").chmod(0)

    for act in (
        lambda: store.create("fleet/b", b"x"),
        lambda: store.read("fleet/a"),
        lambda: store.exists("fleet/a"),
        lambda: list(store.names("fleet/")),
        lambda: store.folders("fleet/"),
        lambda: store.delete("fleet/a"),
    ):
        with pytest.raises(StateError, match=r"fleet.*Permission denied.*read and write access"):
            act()


def test_a_folder_without_permission_is_named_however_deep_it_lies(plain_user_folder: Path) -> None:
    store = LocalStateStore(plain_user_folder)
    store.create("fleet/journal/c-1/a", b"x")
    (plain_user_folder / "fleet" / "journal" / "c-1").chmod(0)

    with pytest.raises(StateError, match=r"fleet/journal/c-1: Permission denied"):
        list(store.names("fleet/"))
    with pytest.raises(StateError, match=r"fleet/journal/c-1: Permission denied"):
        store.folders("fleet/journal/")


def test_a_file_where_a_folder_is_needed_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")

    with pytest.raises(StateError, match="remove the file"):
        LocalStateStore(tmp_path / "state").create("fleet/a", b"x")


def test_a_link_whose_first_answer_was_lost_counts_as_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Path.hardlink_to

    def link_and_report_exists(path: Path, target: Path) -> None:
        link(path, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    # open(2) describes this behaviour of NFS, which can't be mounted here.
    monkeypatch.setattr(Path, "hardlink_to", link_and_report_exists)
    store = LocalStateStore(tmp_path)
    store.create("a", b"x")

    assert store.read("a") == b"x"


def test_the_setting_chooses_the_store(tmp_path: Path) -> None:
    assert open_state_store(str(tmp_path)).uri == str(tmp_path)
    assert open_state_store(f"file://{tmp_path}/a%20b").uri == f"{tmp_path}/a b"
    for uri in ("s3://bucket/state", "az://container@account/state"):
        store = open_state_store(uri)
        assert isinstance(store, BucketStateStore)
        assert store.location("x") == f"{uri}/x"


@pytest.mark.parametrize("uri", ["", "ftp://host/x", "s3:///nothing"])
def test_a_setting_that_names_no_store_is_a_configuration_error(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^state: "):
        open_state_store(uri)
