"""A run lists all its key ranges in one place: where the source was when its inventory was begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from obstore.store import MemoryStore

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.inventory.key_ranges.listing import missing_ranges
from registration_pipeline.project.project import Project
from registration_pipeline.stages.key_ranges import begin_inventory, commit_inventory, list_key_range
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline_tests.unit.inventory.key_ranges.keys_lister import KeysLister, begin, commit, list_one

if TYPE_CHECKING:
    from pathlib import Path

ONE = KeysLister(["a", "b", "c"], ["a", "b"], description="s3://one/")
ANOTHER = KeysLister(["b", "c", "d"], ["a", "b"], description="s3://another/")
RUNS = ["run-1"]


def test_a_range_is_not_listed_in_another_place_than_the_inventory_was_begun_in() -> None:
    store = BucketStateStore(MemoryStore(), "memory://state")
    division = begin(store, ONE)
    list_one(store, ONE, division, 0)

    with pytest.raises(ConfigurationError) as refused:
        list_one(store, ANOTHER, division, 1)
    with pytest.raises(ConfigurationError, match=r"Here, now: s3://another/"):
        begin(store, ANOTHER)

    said = str(refused.value)
    assert said.startswith(
        f"sources.fleet: the source was changed since run run-1 began inventory {division.inventory_id}"
    )
    assert "Begun: s3://one/. Here, now: s3://another/." in said
    assert "re-execute the run from its failure" in said
    assert said.endswith("start a new run")
    assert missing_ranges(store, division) == [1, 2]
    for number in range(division.ranges):
        list_one(store, ONE, division, number)
    assert commit(store).objects == 3


class Plant:
    """A source of one key range, whose settings change while it is listed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def configured(self, uri: str, **settings: Any) -> Project:
        source = {"uri": uri, "encord": {"integration": "x"}, **settings}
        path = self._root / "registration.yaml"
        path.write_text(yaml.safe_dump({"state": "./state", "sources": {"fleet": source}}), encoding="utf-8")
        return Project.load(path, {})

    def began(self, project: Project) -> str:
        source = project.source("fleet")
        return begin_inventory(project, source, RUNS, lambda _: False, print).inventory_id

    def lists(self, project: Project, inventory_id: str) -> None:
        list_key_range(project, project.source("fleet"), inventory_id, 0, print)

    def commits(self, project: Project) -> int:
        source = project.source("fleet")
        return commit_inventory(project, source, RUNS, print, print, is_over=lambda _: False).inventory.objects


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return Plant(tmp_path)


def test_a_range_is_not_listed_at_another_endpoint(plant: Plant) -> None:
    one, other = ({"endpoint_url": f"http://127.0.0.1:{port}", "region": "eu-west-1"} for port in (1, 2))
    inventory_id = plant.began(plant.configured("s3://bucket/raw/", storage=one))

    with pytest.raises(ConfigurationError) as refused:
        plant.lists(plant.configured("s3://bucket/raw/", storage=other), inventory_id)

    place = "s3://bucket/raw/ via ListObjectsV2 in http://127.0.0.1"
    assert f"Begun: {place}:1. Here, now: {place}:2." in str(refused.value)


def test_what_was_listed_is_not_committed_when_the_source_is_another_place_since(plant: Plant, tmp_path: Path) -> None:
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.jpg").write_bytes(b"x")
    project = plant.configured((tmp_path / "one").as_uri())
    plant.lists(project, plant.began(project))

    with pytest.raises(ConfigurationError, match=r"Begun: .*/one via scandir\. Here, now: .*/another via scandir\."):
        plant.commits(plant.configured((tmp_path / "another").as_uri()))

    assert latest_inventory(project.store, "fleet") is None
    assert plant.commits(plant.configured((tmp_path / "one").as_uri())) == 1
