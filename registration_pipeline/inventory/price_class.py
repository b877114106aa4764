"""Under which heading of a provider's price list the requests of an inventory are charged. No prices: they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.settings.addresses import SourceScheme

if TYPE_CHECKING:
    from collections.abc import Mapping

# Amazon S3 pricing, "Requests & data retrievals"; Cloud Storage pricing, "Operation charges"; Azure Blob Storage pricing,
# "Operations and data transfer"; OTC price calculator, OBS "Requests".
_LISTING: Final[Mapping[SourceScheme, str]] = {
    SourceScheme.S3: "PUT, COPY, POST, LIST requests",
    SourceScheme.OBS: "PUT, COPY, POST, LIST requests",
    SourceScheme.GS: "Class A operations",
    SourceScheme.AZ: "List and create container operations",
    SourceScheme.FILE: "free",
}
_READING: Final[Mapping[SourceScheme, str]] = {
    SourceScheme.S3: "GET and LIST requests",
    SourceScheme.GS: "Class A and class B operations",
    SourceScheme.AZ: "read and list operations",
}


def price_class(scheme: SourceScheme, *, is_report: bool) -> str:
    """Return the heading.

    Args:
        scheme: of the source.
        is_report: whether an inventory report was read instead of listing.
    """
    return (is_report and _READING.get(scheme)) or _LISTING[scheme]
