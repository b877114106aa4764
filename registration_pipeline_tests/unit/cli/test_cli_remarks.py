"""What ``check`` and the previews remark: nothing is wrong, and something may not be what was meant."""

from __future__ import annotations

import http.server
import socket
import threading
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from registration_pipeline.project.remarks import bucket_remarks
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline_tests.unit.cli.conftest import Workplace

FOLDER, BESIDE = "raw/cam1/a.jpg", "raw-old/x.jpg"


def remarks(uri: str, keys: Sequence[str], **rules: list[str]) -> list[str]:
    source = SourceSettings.model_validate({"name": "cams", "uri": uri, "storage": {"region": "eu-west-2"}, **rules})
    return bucket_remarks(source, [pa.RecordBatch.from_pydict({"key": list(keys)})])


def test_a_uri_without_a_final_slash_names_the_first_key_beside_its_folder() -> None:
    (said,) = remarks("s3://bucket/raw", [BESIDE, "raw-new/y.jpg", FOLDER])
    assert "does not end with a slash, so it takes all keys that begin with 'raw', also such as 'raw-old/x.jpg'" in said
    assert "write s3://bucket/raw/" in said


def test_without_such_a_key_on_the_first_page_an_example_is_given() -> None:
    (said,) = remarks("s3://bucket/raw", [FOLDER])
    assert "also such as 'raw-old/…'" in said


@pytest.mark.parametrize("uri", ["s3://bucket/raw/", "s3://bucket", "s3://bucket/"])
def test_a_folder_and_a_whole_bucket_are_not_remarked(uri: str) -> None:
    assert remarks(uri, [FOLDER]) == []


def test_globs_that_match_nothing_because_of_the_missing_slash_say_so() -> None:
    said = remarks("s3://bucket/raw", [FOLDER, "raw/cam1/b.jpg"], include=["cam1/**"])[-1]
    assert "of the first 2 objects listed, sources.cams.include and exclude leave none" in said
    assert "the globs see the first key as 'raw/cam1/a.jpg'" in said
    assert "it is left out because of: no include pattern matches" in said
    assert "so the globs see its last name, 'raw', too: write s3://bucket/raw/ as the uri" in said


INCLUDED = {
    "one matches": ({"include": ["cam1/**"]}, ["raw/cam0/a.jpg", FOLDER]),
    "left out by exclude alone": ({"include": ["cam1/**"], "exclude": ["cam1/**"]}, [FOLDER]),
    "without include": ({"exclude": ["**"]}, [FOLDER]),
    "nothing listed": ({"include": ["cam1/**"]}, []),
}


@pytest.mark.parametrize(("rules", "keys"), INCLUDED.values(), ids=INCLUDED)
def test_globs_that_may_be_meant_are_not_remarked(rules: dict[str, list[str]], keys: list[str]) -> None:
    assert remarks("s3://bucket/raw/", keys, **rules) == []


def test_a_pattern_that_takes_back_is_named() -> None:
    (said,) = remarks("s3://bucket/raw/", [FOLDER], include=["**", "!cam1/**"])
    assert "the first object listed" in said
    assert "the first key as 'cam1/a.jpg', and it is left out because of: include \"!cam1/**\"" in said


@pytest.mark.slow
def test_check_plan_and_dry_runs_say_that_include_matches_nothing(workplace: Workplace) -> None:
    workplace.put("cam1/a.jpg", "cam1/b.jpg", "thumbs/c.jpg")
    workplace.configure(include=["raw/**"])
    seen = "the globs see the first key as 'cam1/a.jpg', and it is left out because of: no include pattern matches"

    check = workplace.run("check")
    assert check.status == 0
    assert f"directory: remark: {workplace.root / 'files'}" in check.words
    assert seen in check.words
    assert check.out.splitlines()[-1] == "Ready to sync, 1 remark."

    dry = workplace.run("sync", "--dry-run")
    assert f"warning: of 3 objects, sources.fleet-cameras.include and exclude leave none: {seen}" in dry.words
    assert len(workplace.run("sync", "--dry-run", "--json").document["sources"]["fleet-cameras"]["warnings"]) == 1
    workplace.run("inventory", "fleet-cameras")
    assert f"warning: of 3 objects, sources.fleet-cameras.include and exclude leave none: {seen}" in (
        workplace.run("plan", "fleet-cameras", "--dry-run").words
    )
    assert seen in workplace.run("plan", "fleet-cameras").words


def test_a_plan_of_which_a_part_is_included_has_no_warning(workplace: Workplace) -> None:
    workplace.put("cam1/a.jpg", "cam2/b.jpg")
    workplace.configure(include=["cam1/**"])
    assert workplace.run("sync", "--dry-run", "--json").document["sources"]["fleet-cameras"]["warnings"] == []


def test_an_empty_directory_is_a_remark_in_the_line_the_summary_and_the_document(workplace: Workplace) -> None:
    said = workplace.run("check")
    assert said.status == 0
    assert "directory: remark: " in said.words
    assert said.out.splitlines()[-1] == "Ready to sync, 1 remark."
    document = workplace.run("check", "--json").document
    assert document["ok"] is True
    assert {check["what"]: check["remark"] for check in document["checks"] if check["remark"]} == {"directory": True}
    assert all(check["ok"] for check in document["checks"])


@pytest.mark.slow
def test_an_encord_that_is_not_reached_is_described_as_a_check_describes_it(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace.put("a.jpg")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ENCORD_DOMAIN", f"http://127.0.0.1:{held.getsockname()[1]}")
        said = workplace.run("check")

    assert said.status == 4
    assert "can't be reached (" in said.words
    assert "Check again later." in said.words
    assert "Nothing is lost" not in said.words
    assert "trace id" not in said.words
    assert said.out.splitlines()[-1] == "1 of 6 checks failed, 1 not checked."


class _Listing(http.server.BaseHTTPRequestHandler):
    """An S3 bucket with two objects that begin with ``raw``."""

    def do_GET(self) -> None:
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>1</Size><ETag>&quot;e&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in (BESIDE, FOLDER)
        )
        body = (
            f"<ListBucketResult><Name>fleet</Name><Prefix>raw</Prefix><KeyCount>2</KeyCount>{entries}"
            "<IsTruncated>false</IsTruncated></ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def bucket() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Listing)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_the_bucket_line_of_check_has_both_remarks(
    workplace: Workplace, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nothing")
    workplace.configure(
        uri="s3://fleet/raw", storage={"endpoint_url": bucket, "region": "eu-west-2"}, include=["cam1/**"]
    )
    said = workplace.run("check")

    assert said.status == 0, said.words
    assert "bucket: remark: s3://fleet/raw via ListObjectsV2: readable; but sources.fleet-cameras.uri" in said.words
    assert "also such as 'raw-old/x.jpg'" in said.words
    assert "so the globs see its last name, 'raw', too" in said.words
    assert said.out.splitlines()[-1] == "Ready to sync, 1 remark."
