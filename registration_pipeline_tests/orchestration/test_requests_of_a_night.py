"""What a sync asks of a state in a bucket: the same after many nights as after few, and each journal's name once."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from benchmarks import counting_store, nights
from benchmarks.counting_store import CountingStore
from benchmarks.project import SOURCE, environment, write_configuration
from registration_pipeline.cli.app import run as run_command
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.project.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.orchestration.conftest import Pipeline


@pytest.fixture
def configured(tmp_path: Path, empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a configuration, its environment and an opened instance in place."""
    for name, value in environment(write_configuration(tmp_path, chunk_size=1)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(empty_home, tmp_path / ".dagster")


def quiet_night(*, after: int, chunks: int = 1) -> CountingStore:
    """Return the state with what one more sync has asked, after this many nights of this many new chunks."""
    past = CountingStore()
    nights.live(past, nights=after, chunks=chunks)
    store = CountingStore(past)
    nights.sync(store, after * chunks, before=store.reset)
    return store


def together(requests: Counter[str]) -> int:
    return sum(requests.values())


@pytest.mark.slow
@pytest.mark.usefixtures("configured")
def test_a_quiet_night_asks_as_much_after_many_nights_as_after_few() -> None:
    few, many = quiet_night(after=3), quiet_night(after=25)

    assert together(many.requests) == together(few.requests)
    assert few.listed["journal/"] == many.listed["journal/"] == 1


@pytest.mark.slow
@pytest.mark.usefixtures("configured")
def test_with_more_chunks_only_the_one_listing_of_the_journals_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting_store, "PAGE_NAMES", 20)
    few, many = quiet_night(after=1, chunks=2), quiet_night(after=1, chunks=40)

    pages = many.listed["journal/"]
    assert (few.listed["journal/"], pages) == (1, 40 * 3 // 20 + 1)
    assert together(many.requests) - together(few.requests) == pages - 1


@pytest.mark.usefixtures("configured")
def test_a_plan_and_a_compacted_ledger_read_no_old_marker() -> None:
    store = CountingStore()
    nights.live(store, nights=12, chunks=1)
    read: list[str] = []

    class Noting(CountingStore):
        def read(self, name: str) -> bytes:
            read.append(name)
            return super().read(name)

    nights.take_inventory_of(Noting(store), 13)
    plan_source(store=Noting(store), source=Project.load().source(SOURCE), clock=nights.now)

    assert [name for name in read if "/plan/" in name] == []


@pytest.mark.slow
def test_a_night_with_new_objects_lists_the_journals_before_and_after_its_submission(
    pipeline: Pipeline, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else of them: no chunk's own, and no entry, which the run wrote itself."""
    shutil.copytree(empty_home, pipeline.root / ".dagster")
    read: list[str] = []

    class Noting(CountingStore):
        def read(self, name: str) -> bytes:
            read.append(name)
            return super().read(name)

    store, opened = Noting(), Counter[str]()

    def opening(uri: str) -> CountingStore:
        opened[uri] += 1
        return store

    monkeypatch.setattr("registration_pipeline.state.factory.open_state_store", opening)
    pipeline.add_images(3)

    assert run_command(["sync"]) == 0
    busy, store.listed = store.listed, Counter()
    assert run_command(["sync"]) == 0

    of_journals = {folder: requests for folder, requests in busy.items() if folder.startswith("journal/")}
    assert (of_journals, store.listed["journal/"]) == ({"journal/": 2}, 1)
    assert [name for name in read if "/journal/" in name or "/manifests/" in name] == []
    assert len(pipeline.urls()) == 3
    assert opened.total() == 4, "by the command, and once for all steps of its run"


MOST_OF_A_QUIET_NIGHT = {"PUT": 12, "GET": 20, "HEAD": 4, "LIST": 38, "DELETE": 2}
"""What docs/deployment/state-in-a-bucket.md prices."""
MOST_OF_A_NIGHT_WITH_1_000_NEW = {"PUT": 32, "GET": 32, "HEAD": 12, "LIST": 60, "DELETE": 8}


@pytest.mark.slow
def test_a_night_asks_no_more_than_the_docs_price(
    pipeline: Pipeline, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(empty_home, pipeline.root / ".dagster")
    store = CountingStore()
    monkeypatch.setattr("registration_pipeline.state.factory.open_state_store", lambda _: store)
    pipeline.configure(chunk_size={"images": 1_000})
    counted = {}
    for night, new in {"first": 3, "quiet": 0, "busy": 1_000}.items():
        pipeline.add_images(new, day=night)
        store.reset()
        assert run_command(["sync"]) == 0
        counted[night] = dict(store.requests)
    over = {
        night: counted[night]
        for night, most in (("quiet", MOST_OF_A_QUIET_NIGHT), ("busy", MOST_OF_A_NIGHT_WITH_1_000_NEW))
        if any(number > most.get(kind, 0) for kind, number in counted[night].items())
    }

    assert over == {}
    assert len(pipeline.urls()) == 1_003
