"""The first sync of a source whose folder in Encord is not empty."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from encord import EncordUserClient

from registration_pipeline.cli.app import run as run_command
from registration_pipeline_tests.orchestration.conftest import SOURCE

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from registration_pipeline_tests.orchestration.conftest import Pipeline


def test_a_folder_that_was_filled_by_hand_is_adopted_and_the_rest_is_sent(
    pipeline: Pipeline, empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(empty_home, pipeline.root / ".dagster")
    pipeline.configure(chunk_size={"images": 2})
    by_hand = [path.as_uri() for path in pipeline.add_images(5)[:3]]
    client = EncordUserClient.create_with_ssh_private_key(
        ssh_private_key_path=pipeline.sandbox.private_key_path, domain=pipeline.sandbox.url
    )
    folder = client.create_storage_folder(SOURCE)
    manifest = {"images": [{"objectUrl": url, "title": f"by hand {number}"} for number, url in enumerate(by_hand)]}
    job = folder.add_private_data_to_folder_start(pipeline.sandbox.integration_uuid(), manifest, True)
    assert not folder.add_private_data_to_folder_get_result(job, timeout_seconds=20).unit_errors

    status = run_command(["sync"])

    said = " ".join(capsys.readouterr().err.split())
    assert "is not empty, and nothing of fleet-cameras was sent to it before" in said
    assert "held 3 items before the first upload, 3 of them with URLs of fleet-cameras" in said
    assert (status, pipeline.status.registered, len(pipeline.urls())) == (0, 5, 5)
    assert pipeline.sandbox.duplicates() == {}
    assert len(pipeline.sandbox.jobs()) == 1 + 2
    assert run_command(["audit", SOURCE]) == 0
