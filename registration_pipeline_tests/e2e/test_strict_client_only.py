"""Under strict client-only access nothing is sent without its media metadata, and a bad file stops nothing else."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

GROUPS = [{"match": "rigs/**", "as": "image_group", "by": "directory"}]
GOOD = {f"{number}.jpg": (64 + number, 48) for number in range(3)} | {f"rigs/a/{side}.png": (32, 32) for side in "lr"}


def picture(width: int, height: int, form: str) -> bytes:
    made = BytesIO()
    Image.new("RGB", (width, height), "navy").save(made, form)
    return made.getvalue()


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., CommandProject]]:
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.0, client_only=True) as sandbox:

        def made(**options: Any) -> CommandProject:
            configure(
                tmp_path, media_metadata="probe", strict_client_only=True, groups=GROUPS, title="{path}", **options
            )
            for key, sides in GOOD.items():
                path = tmp_path / "media" / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(*sides, "PNG" if key.endswith(".png") else "JPEG"))
            (tmp_path / "media" / "broken.jpg").write_bytes(b"<html>503 Service Unavailable</html>")
            return CommandProject(tmp_path, sandbox)

        yield made


def sides(project: CommandProject) -> dict[str, tuple[int, int]]:
    found = {item.name: json.loads(item.media) for item in project.items() if len(item.urls) == 1 and item.media}
    return {name: (media["width"], media["height"]) for name, media in found.items()}


def test_one_unreadable_file_is_rejected_and_the_rest_is_sent_with_its_metadata(
    start: Callable[..., CommandProject],
) -> None:
    project = start(submit_as="data_items")

    sync = project.sync()

    assert (sync.status, sync.numbers["registered"], sync.numbers["rejected"]) == (3, 5, 1), sync.said
    assert {key: GOOD[key] for key in GOOD if "/" not in key} == sides(project)
    assert {item.name for item in project.items()} == {"0.jpg", "1.jpg", "2.jpg", "rigs/a"}
    (row,) = source_failures(project.store, SOURCE)
    assert (row.key, row.reason) == ("broken.jpg", "no_media_metadata")
    assert "not an image" in (row.message or "")
    assert sum(job.failed for job in project.sandbox.jobs()) == 0  # Encord had nothing to refuse

    (project.root / "media" / "broken.jpg").write_bytes(picture(20, 10, "JPEG"))
    again = project.sync()

    assert (again.status, again.numbers["registered"]) == (0, 6), again.said
    assert sides(project)["broken.jpg"] == (20, 10)


def test_in_the_json_form_groups_are_rejected_and_the_message_names_the_setting_that_helps(
    start: Callable[..., CommandProject],
) -> None:
    project = start()

    sync = project.sync()

    assert (sync.status, sync.numbers["registered"], sync.numbers["rejected"]) == (3, 3, 3), sync.said
    rows = {row.key: row for row in source_failures(project.store, SOURCE)}
    assert {key: row.reason for key, row in rows.items() if key.startswith("rigs/")} == {
        "rigs/a/l.png": "no_media_metadata",
        "rigs/a/r.png": "no_media_metadata",
    }
    assert "submit_as: data_items" in (rows["rigs/a/l.png"].message or "")
    assert sum(job.failed for job in project.sandbox.jobs()) == 0
