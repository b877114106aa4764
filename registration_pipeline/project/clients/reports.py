"""From a source's settings to the lister of its provider's inventory reports.

What does not belong here: reading reports (``inventory/reports/``), and listing stores (``listers.py``).
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from registration_pipeline.settings.report_address import parse_report_location

if TYPE_CHECKING:
    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.inventory.reports.lister import ReportLister
    from registration_pipeline.inventory.reports.manifest import ReportService
    from registration_pipeline.inventory.reports.place import ReportPlace
    from registration_pipeline.inventory.reports.top_up import FolderProbe, TopUp
    from registration_pipeline.project.clients.stores import StoreClients
    from registration_pipeline.settings import SourceSettings

    _Folders = tuple[FolderProbe, Callable[[str], ObjectLister]]


def make_report_lister(
    source: "SourceSettings", clients: "StoreClients", *, environ: Mapping[str, str], notify: Callable[[str], None]
) -> "ReportLister":
    """Return the lister of a source with ``storage.inventory_report``; nothing is requested yet.

    Args:
        source: the source.
        clients: give the S3 client; the other providers' reports are read with the environment's credentials.
        environ: the environment, for the project that pays for requests to Google.
        notify: called with texts for people of the report.

    Raises:
        ConfigurationError: the provider's configuration is wrong or leads to another store than the source's URLs.
        CredentialsError: the credentials can't be had.
    """
    from registration_pipeline.inventory.reports.lister import ReportLister

    return ReportLister(
        _place(source, clients, environ),
        _service(source, clients),
        source.location.prefix,
        max_age=timedelta(days=source.storage.report_max_age_days),
        source=source.name,
        notify=notify,
        top_up=_top_up(source, clients, environ) if source.storage.top_up else None,
    )


def _place(source: "SourceSettings", clients: "StoreClients", environ: Mapping[str, str]) -> "ReportPlace":
    from registration_pipeline.inventory.reports.place import LocalPlace

    assert source.storage.inventory_report is not None
    report = parse_report_location(source.storage.inventory_report)
    if report.path is not None:
        return LocalPlace(report.path, source=source.name)
    from registration_pipeline.inventory.reports import bucket_places as report_bucket

    if report.scheme == "gs":
        payer = _google_payer(source, clients, environ) if source.storage.requester_pays else None
        return report_bucket.open_google_place(report.bucket, report.start, source=source.name, user_project=payer)
    if report.scheme == "az":
        return report_bucket.open_azure_place(report.bucket, report.account, report.start, source=source.name)
    is_counted = source.storage.key_count
    return report_bucket.S3Place(
        clients.s3(source), report.bucket, report.start, source=source.name, is_counted=is_counted
    )


def _google_payer(source: "SourceSettings", clients: "StoreClients", environ: Mapping[str, str]) -> str:
    # The variable first: reports need no client of Google's library, which may not even be installed.
    if named := environ.get("GOOGLE_CLOUD_PROJECT"):
        return named
    from registration_pipeline.project.clients.gcs import billed_project

    return billed_project(clients.gcs(source), environ, source=source.name)


def _service(source: "SourceSettings", clients: "StoreClients") -> "ReportService":
    location: Any = source.location
    if location.scheme == "gs":
        from registration_pipeline.inventory.reports.google import GoogleReports

        return GoogleReports(location.bucket, source=source.name)
    if location.scheme == "az":
        from registration_pipeline.inventory.reports.azure import AzureReports

        account = getattr(location, "account", "")
        return AzureReports(location.bucket, location.prefix, account=account or None, source=source.name)
    from registration_pipeline.inventory.reports.amazon import AmazonReports
    from registration_pipeline.inventory.reports.bucket_places import S3ConfigurationFilters

    filters = S3ConfigurationFilters(clients.s3(source), location.bucket)
    return AmazonReports(location.bucket, location.prefix, source=source.name, filters=filters)


def _top_up(source: "SourceSettings", clients: "StoreClients", environ: Mapping[str, str]) -> "TopUp":
    from registration_pipeline.inventory.reports.top_up import TopUp
    from registration_pipeline.project.clients.listers import extra

    location: Any = source.location
    if location.scheme == "gs":
        with extra("gcs", source):
            probe, lister_of = _google_folders(source, clients, environ)
    elif location.scheme == "az":
        with extra("azure", source):
            probe, lister_of = _azure_folders(source, clients)
    else:
        probe, lister_of = _amazon_folders(source, clients)
    return TopUp(probe, lister_of, location.prefix)


def _amazon_folders(source: "SourceSettings", clients: "StoreClients") -> "_Folders":
    from registration_pipeline.inventory.s3.folder_probe import S3FolderProbe
    from registration_pipeline.inventory.s3.lister import S3Lister

    client, bucket = clients.s3(source), source.location.bucket
    settings: Any = {"source": source.name, "is_counted": source.storage.key_count}
    concurrency = source.storage.concurrency
    return S3FolderProbe(client, bucket, **settings), lambda prefix: S3Lister(
        client, bucket, prefix, concurrency=concurrency, **settings
    )


def _google_folders(source: "SourceSettings", clients: "StoreClients", environ: Mapping[str, str]) -> "_Folders":
    from registration_pipeline.inventory.gcs.folder_probe import GCSFolderProbe
    from registration_pipeline.inventory.gcs.lister import GCSLister
    from registration_pipeline.inventory.gcs.requests import GCSRequests
    from registration_pipeline.project.clients.gcs import keep_connections

    client, bucket = clients.gcs(source), source.location.bucket
    keep_connections(client, source.storage.concurrency)
    payer = _google_payer(source, clients, environ) if source.storage.requester_pays else None
    settings: Any = {"source": source.name, "user_project": payer}
    probe = GCSFolderProbe(GCSRequests(client, bucket, source.location.prefix, **settings), source=source.name)
    concurrency = source.storage.concurrency
    return probe, lambda prefix: GCSLister(client, bucket, prefix, concurrency=concurrency, **settings)


def _azure_folders(source: "SourceSettings", clients: "StoreClients") -> "_Folders":
    from registration_pipeline.inventory.azure.folder_probe import AzureFolderProbe
    from registration_pipeline.inventory.azure.lister import AzureLister
    from registration_pipeline.inventory.azure.requests import AzureRequests

    client, account = clients.azure(source), source.location.account
    requests = AzureRequests(client, account, source.location.prefix, source=source.name)
    settings: Any = {"source": source.name, "concurrency": source.storage.concurrency}
    probe = AzureFolderProbe(requests, source=source.name)
    return probe, lambda prefix: AzureLister(client, account, prefix, **settings)
