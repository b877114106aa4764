"""Every fault that Encord's registration pages forbid is refused by the sandbox by its name, and found by our own check."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from encord import EncordUserClient
from encord.exceptions import InvalidArgumentsError
from encord.http.constants import RequestsSettings

from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline_tests.malformed_manifests import MALFORMED, Malformed, group, of, series, single

if TYPE_CHECKING:
    from collections.abc import Iterator

    from encord.storage import StorageFolder

CASES = pytest.mark.parametrize("case", MALFORMED.values(), ids=MALFORMED)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for all cases: none of them leaves anything in it."""
    with Sandbox(SandboxConfig(data=tmp_path_factory.mktemp("encord"), job_seconds=0.0)) as running:
        yield running


@pytest.fixture(scope="module")
def folder(sandbox: Sandbox) -> StorageFolder:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        client = EncordUserClient.create_with_ssh_private_key(
            ssh_private_key=sandbox.private_key_path.read_text(),
            domain=sandbox.url,
            requests_settings=RequestsSettings(max_retries=0, connection_retries=0, read_timeout=90),
        )
        return client.create_storage_folder("fleet")


def test_there_are_at_least_sixty_variants_and_no_two_are_the_same() -> None:
    assert len(MALFORMED) >= 60
    assert len({json.dumps(case.document) for case in MALFORMED.values()}) == len(MALFORMED)


@CASES
def test_the_sandbox_refuses_it_and_names_what_is_wrong(
    sandbox: Sandbox, folder: StorageFolder, case: Malformed
) -> None:
    before = len(sandbox.jobs())

    with pytest.raises(InvalidArgumentsError) as refused:
        folder.add_private_data_to_folder_start(sandbox.integration_uuid(), case.document, ignore_errors=True)

    assert case.refusal in refused.value.message
    assert len(sandbox.jobs()) == before
    assert sandbox.violations()[0].message == refused.value.message


@CASES
def test_our_own_check_finds_the_same(case: Malformed) -> None:
    violations = [str(violation) for violation in validate_manifest(json.dumps(case.document).encode())]

    assert any(case.found in violation for violation in violations), violations


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(of("image_groups", group()), id="group"),
        pytest.param(of("image_groups", group(createVideo=True)), id="sequence"),
        pytest.param(of("image_groups", group(objectUrl_0="s3://b/0.tif")), id="TIFF in a group"),
        pytest.param(of("dicom_series", series()), id="series"),
        pytest.param(of("dicom_series", series(createVideo=...)), id="series without createVideo"),
        pytest.param(of("images", single()), id="single object"),
    ],
)
def test_without_the_fault_both_accept_it(sandbox: Sandbox, folder: StorageFolder, document: dict[str, object]) -> None:
    job = folder.add_private_data_to_folder_start(sandbox.integration_uuid(), document, ignore_errors=True)

    assert folder.add_private_data_to_folder_get_result(job, timeout_seconds=30).units_error_count == 0
    assert validate_manifest(json.dumps(document).encode()) == []
