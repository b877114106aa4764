"""The address of a provider's inventory reports, parsed and checked.

What does not belong here: finding and reading the reports (``inventory/reports/``). No error text quotes more of the address
than its scheme: it may come from the environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from registration_pipeline.settings.addresses import refuse_file_query, refuse_query, unknown_scheme

REPORTING_SCHEMES = frozenset({"s3", "gs", "az"})
"""Schemes of sources whose providers' reports are understood."""

_FORMS = "s3://bucket/prefix/, gs://bucket/prefix/, az://container@account/prefix/ or an absolute directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLocation:
    """Where reports are delivered, or a copy of them lies.

    Args:
        scheme: ``s3``, ``gs``, ``az`` or ``file``.
        bucket: bucket or container; empty for ``file``.
        account: the storage account of ``az``, if it is given.
        start: the folder in the bucket: empty, or ending in ``/``.
        path: the directory of ``file``.
    """

    scheme: str
    bucket: str = ""
    account: str | None = None
    start: str = ""
    path: Path | None = None


def parse_report_location(text: str) -> ReportLocation:
    """Take the address apart.

    Raises:
        ValueError: reports can't be there.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme == "file":
        path = unquote(rest.removeprefix("localhost")) if separator else text
        if separator:
            refuse_file_query(rest)
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"must be {_FORMS}{unknown_scheme(text)}")
        return ReportLocation(scheme="file", path=Path(path))
    place, _, prefix = rest.partition("/")
    bucket, _, account = place.partition("@")
    if scheme not in REPORTING_SCHEMES:
        raise ValueError(f"must be {_FORMS}{unknown_scheme(text)}")
    if not bucket or (account and scheme != "az"):
        raise ValueError(f"must be {_FORMS}")
    refuse_query(prefix)
    start = prefix.strip("/")
    return ReportLocation(scheme=scheme, bucket=bucket, account=account or None, start=f"{start}/" if start else "")
