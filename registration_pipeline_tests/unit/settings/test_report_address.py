"""The address of inventory reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from registration_pipeline.settings.report_address import ReportLocation, parse_report_location


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("s3://reports", ReportLocation(scheme="s3", bucket="reports")),
        ("s3://reports/a/b/", ReportLocation(scheme="s3", bucket="reports", start="a/b/")),
        ("gs://reports/a", ReportLocation(scheme="gs", bucket="reports", start="a/")),
        ("az://reports@fleet/a", ReportLocation(scheme="az", bucket="reports", account="fleet", start="a/")),
        ("/data/reports", ReportLocation(scheme="file", path=Path("/data/reports"))),
        ("file:///data/re%20ports/", ReportLocation(scheme="file", path=Path("/data/re ports"))),
    ],
)
def test_an_address_is_split(text: str, location: ReportLocation) -> None:
    assert parse_report_location(text) == location


@pytest.mark.parametrize("text", ["", "reports/", "s3://", "s3:///a", "https://x/y", "file://data", "gs://a@b/c"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be s3://bucket/prefix/"):
        parse_report_location(text)
