"""``check`` lists the state of a source in a bucket: one object that can't be listed halts every command."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import yaml
from obstore.store import MemoryStore

from registration_pipeline.errors import StateError
from registration_pipeline.project import preflight
from registration_pipeline.project.project import Project
from registration_pipeline.state.bucket import BucketStateStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("seconds", [5.0, 0.0], ids=["it is listed", "it is not listed in time"])
def test_check_lists_the_state_of_a_source(seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(BucketStateStore):
        def names(self, prefix: str) -> Iterator[str]:
            if prefix == "fleet/":
                time.sleep(0.1)
                raise StateError("an odd key")
            return super().names(prefix)

    monkeypatch.setattr(preflight, "_LISTING_SECONDS", seconds)
    path = tmp_path / "registration.yaml"
    path.write_text(yaml.safe_dump({"state": "./state", "sources": {"fleet": {"uri": "file:///nowhere"}}}))
    project = Project.load(path, {})
    project.__dict__["store"] = Odd(MemoryStore(), "memory://state")

    found = next(one for one in preflight.run_checks(project, project.source("fleet")) if one.what == "state")

    assert (found.detail == "an odd key") is (seconds > 0)
    assert (found.error is None) is (seconds == 0)
