"""Media on the engine of readings: known files are not read again, unreadable ones are, and a missing library is said."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import ConfigurationError, ObjectReadError
from registration_pipeline.facts.media.kind import INSTALL, media_kind, missing_library
from registration_pipeline.facts.reading.reading import ObjectReading
from registration_pipeline.facts.sets import read_facts
from registration_pipeline.inventory.inventory import read_inventory, take_inventory
from registration_pipeline.inventory.local import LocalLister
from registration_pipeline.objects import MediaKind
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.unit.facts.conftest import START, WatchedReader
from registration_pipeline_tests.unit.facts.media.test_probes import pdf, saved

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from registration_pipeline.facts.reading.reading import Reading

pytestmark = pytest.mark.slow  # processes are started

KINDS = {"jpg": MediaKind.IMAGE, "pdf": MediaKind.PDF, "nii": MediaKind.NIFTI}


def kind_of(key: str) -> MediaKind | None:
    return KINDS.get(key.rpartition(".")[2])


class Shop:
    """A bucket, as a folder, and its state."""

    def __init__(self, folder: Path) -> None:
        self.bucket, self.store = folder / "bucket", LocalStateStore(folder / "state")
        self.bucket.mkdir()

    def probed(self, reader: WatchedReader) -> tuple[Reading, list[dict[str, Any]]]:
        lister = LocalLister(self.bucket, source="shop")
        inventory = take_inventory(lister=lister, store=self.store, source="shop", clock=lambda: START)
        reading = ObjectReading(
            kind=media_kind(kind_of, processes=1),
            store=self.store,
            source="shop",
            reader=reader,
            clock=lambda: START,
            threads=4,
        ).read(lambda: read_inventory(self.store, inventory), {})
        assert reading.facts is not None
        return reading, [row for batch in read_facts(self.store, reading.facts) for row in batch.to_pylist()]

    def reader(self, fail: Mapping[str, Exception] | None = None) -> WatchedReader:
        return WatchedReader(self.bucket, fail)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    found = Shop(tmp_path)
    (found.bucket / "a.jpg").write_bytes(saved("JPEG"))
    (found.bucket / "b.pdf").write_bytes(pdf(2))
    (found.bucket / "c.jpg").write_bytes(b"not an image")
    (found.bucket / "d.nii").write_bytes(b"a brain")
    return found


def test_every_object_has_a_row_and_none_is_read_twice(shop: Shop) -> None:
    _, rows = shop.probed(shop.reader())
    again = shop.reader()

    reading, same = shop.probed(again)

    assert [(row["key"], row["problem"]) for row in rows] == [
        ("a.jpg", None),
        ("b.pdf", None),
        ("c.jpg", "no_media_metadata"),
        ("d.nii", "no_media_metadata"),
    ]
    assert [bool(row["media_metadata"]) for row in rows] == [True, True, False, False]
    assert same == rows
    assert (again.keys, reading.progress.cached) == ([], 4)


def test_an_object_that_is_of_another_kind_now_is_probed_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.probed(shop.reader())
    monkeypatch.setitem(KINDS, "jpg", MediaKind.TEXT)
    monkeypatch.setitem(KINDS, "pdf", MediaKind.PDF)
    again = shop.reader()

    _, rows = shop.probed(again)

    assert set(again.keys) == {"a.jpg", "c.jpg"}
    assert json.loads(rows[2]["media_metadata"]) == {"file_size": 12, "mime_type": "text/plain"}


def test_an_object_that_may_not_be_read_is_tried_again(shop: Shop) -> None:
    refused = ObjectReadError("Not allowed to read it", is_refused=True)
    _, rows = shop.probed(shop.reader({"a.jpg": refused, "b.pdf": refused}))

    _, later = shop.probed(shop.reader())

    assert [row["problem"] for row in rows[:2]] == ["media_unreadable"] * 2
    assert [row["problem"] for row in later[:2]] == [None, None]


def test_an_object_that_can_t_be_read_now_has_no_row(shop: Shop) -> None:
    silent = ObjectReadError("no answer", is_silent=True)

    reading, rows = shop.probed(shop.reader({"b.pdf": silent}))

    assert [row["key"] for row in rows] == ["a.jpg", "c.jpg", "d.nii"]
    assert reading.progress.waiting == 1


def test_a_missing_library_is_said_with_the_command_that_installs_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing_library() is None
    monkeypatch.setitem(sys.modules, "mutagen", None)
    monkeypatch.setattr("registration_pipeline.facts.media.kind.find_spec", lambda name: sys.modules.get(name, True))
    reader = shop.reader()

    with pytest.raises(ConfigurationError, match=r"pip install 'registration-pipeline\[media\]'"):
        shop.probed(reader)

    assert missing_library() == INSTALL
    assert reader.keys == []
