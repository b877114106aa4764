"""The settings of a sandbox: where it listens, who may connect, how it behaves where Encord's behaviour is not documented.

What does not belong here: reading the environment, and acting on any of these values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.jobs.media_names import MediaNames
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "DedupeAt",
    "ErrorFrames",
    "ErrorText",
    "ErrorUrls",
    "GroupMatching",
    "Integration",
    "ListedLinks",
    "ListedOnError",
    "LocalObjects",
    "MediaNames",
    "RetryAfter",
    "S3Objects",
    "SandboxConfig",
    "SkippedCountsAs",
    "SummaryUploadJobs",
    "UnitRule",
    "UnknownLinks",
    "UrlMatching",
]

DEFAULT_INTEGRATION_TITLE = "sandbox"

BODY_LIMIT_BYTES = 100_000_000
"""JSON upload files: 100 MB (Encord's best-practices page)."""


class DedupeAt(StrEnum):
    """When ``skip_duplicate_urls`` checks which URLs the folder holds already. Encord does not say."""

    START = "start"
    """When the start call is accepted. Two jobs in flight with the same URLs create duplicates: the hostile reading."""
    MATERIALISE = "materialise"
    """When each unit is registered."""


class SkippedCountsAs(StrEnum):
    """Which count of the job a skipped duplicate adds to. Encord does not say."""

    NONE = "none"
    DONE = "done"


class ListedOnError(StrEnum):
    """Which items a job that ended as ERROR lists. Encord does not say."""

    KEPT = "kept"
    """Those that stay in the folder."""
    NONE = "none"
    """None, whether they stay or not."""
    ALL = "all"
    """All that it registered, also those that ``rollback_on_error`` removed."""


class ErrorUrls(StrEnum):
    """How the error of a unit names its URLs. Encord does not say."""

    SENT = "sent"
    NORMALISED = "normalised"
    """In another, equivalent percent-encoding."""
    NONE = "none"
    """Not at all."""


class ErrorFrames(StrEnum):
    """Which URLs the error of a unit of several objects names. The SDK says: a list of frames, for groups and DICOM."""

    FAILED = "failed"
    """Those that failed, where that is known."""
    ALL = "all"
    """All of the unit."""


class GroupMatching(StrEnum):
    """When a unit of several objects is a duplicate to ``skip_duplicate_urls``.

    Encord's pages speak of "all URLs exactly matching existing image groups", and of object URLs matching existing DICOM
    files; they do not say what a group does of which the folder holds a part.
    """

    ALL_URLS = "all_urls"
    """When the folder holds a unit of the same URLs in the same order."""
    ANY_URL = "any_url"
    """When the folder holds any of its URLs, in a unit of several objects or alone."""


class UrlMatching(StrEnum):
    """When two URLs of a folder are the same to ``skip_duplicate_urls``. Encord does not say."""

    EXACT = "exact"
    """When the strings are equal: another percent-encoding of the same URL is registered again, the hostile reading."""
    NORMALISED = "normalised"
    """When they mean the same."""


class SummaryUploadJobs(StrEnum):
    """What a folder summary's ``uploadJobs`` counts. Encord does not say."""

    NONE = "none"
    """Nothing: always 0."""
    PENDING = "pending"
    ALL = "all"


class UnknownLinks(StrEnum):
    """What linking an item that does not exist, among others, to a dataset does. Encord does not say."""

    SKIPPED = "skipped"
    """It is left out and the call succeeds: the hostile reading."""
    REFUSED = "refused"
    """The whole call is refused and nothing is linked."""
    REFUSED_MIDWAY = "refused_midway"
    """The call is refused, and the items before it are linked all the same."""


class ListedLinks(StrEnum):
    """Which rows the reply to linking lists. Encord does not say."""

    NEW = "new"
    """Those that were made: an item that was linked before is not among them."""
    ALL = "all"


class RetryAfter(StrEnum):
    """The hint that comes with the 429 of ``requests_per_second``."""

    NONE = "none"
    SECONDS = "seconds"
    DATE = "date"


class ErrorText(StrEnum):
    """Where an error's text is in the JSON body. The SDK reads ``message``, else ``detail``."""

    MESSAGE = "message"
    DETAIL = "detail"
    NONE = "none"
    """Nowhere: the SDK falls back to a text of its own."""


@dataclass(frozen=True, slots=True)
class LocalObjects:
    """Reads ``file://`` URLs from disk.

    Args:
        root: nothing outside this directory is read (403); None: everything is.
    """

    root: Path | None = None

    @property
    def opened(self) -> str:
        """Which URLs are opened, for people."""
        if self.root is None:
            return "file:///…"
        return f"{self.root.resolve().as_uri().rstrip('/')}/… (another file:/// URL fails: 403)"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Objects:
    """Reads ``<endpoint_url>/<bucket>/<key>`` and ``s3://<bucket>/<key>`` through the S3 API.

    Args:
        endpoint_url: of the S3-compatible store, e.g. ``http://127.0.0.1:9000``.
        region: for the request signature.
        access_key_id: with ``secret_access_key``; None: boto3's own credential chain.
        secret_access_key: never logged.
        profile: of the AWS configuration; None: the default credentials.
    """

    endpoint_url: str
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = None
    profile: str | None = None

    @property
    def opened(self) -> str:
        """Which URLs are opened, for people."""
        return f"{self.endpoint_url.rstrip('/')}/…, s3://…"

    def __repr__(self) -> str:
        return f"S3Objects(endpoint_url={self.endpoint_url!r}, region={self.region!r})"


@dataclass(frozen=True, slots=True)
class Integration:
    """A cloud integration: what Encord would read the objects with.

    Args:
        title: unique; its UUID is made on first use and kept in the data directory.
        readers: how objects are opened; a URL that no reader covers is registered unread.
    """

    title: str
    readers: tuple[LocalObjects | S3Objects, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Everything about one sandbox. Where Encord's behaviour is unknown the default is the hostile reading.

    Args:
        data: directory of the database, the key pair and ``rules.json``; made if missing.
        host: address to listen on; loopback by default.
        port: 0 picks a free one.
        admin_port: of the admin page and API on loopback, which ask for no signature; 0 picks a free one; None: off.
        admin_port_or_free: whether a free port is picked if ``admin_port`` is in use.
        authorised_keys: Ed25519 public keys in OpenSSH form (``ssh-ed25519 AAAA…``), besides the generated one.
        integrations: made on first start.
        unit_rules: planted failures, before those in ``<data>/rules.json``.
        job_seconds: how long an upload job takes.
        workers: upload jobs processed at once.
        read_workers: objects opened at once, over all jobs.
        dedupe_at: when the search for duplicates is made.
        skipped_in_items_with_names: whether skipped duplicates appear in ``itemsWithNames``.
        skipped_counts_as: which count a skipped duplicate adds to.
        rollback_on_error: whether a job that ends ``ERROR`` removes its items.
        listed_on_error: which items a job that ended ``ERROR`` lists.
        errors_end_jobs: whether one bad unit ends a job as ``ERROR`` although its errors are to be ignored.
        error_urls: how unit errors name URLs.
        error_frames: which URLs the error of a unit of several objects names.
        error_text_has_url: whether the text of a unit error holds a signed URL.
        titles_as_sent: whether items get the title that was sent, instead of the last part of it.
        url_normalised: whether items show their URL in another, equivalent percent-encoding than was submitted.
        url_matching: which URLs are the same to the search for duplicates.
        group_matching: which units of several objects are.
        listing_lag_seconds: items are in listings and in the folder summary so long after they were registered.
        listing_in_order: whether listings by creation are in that order, instead of by name.
        search_finds_items: whether searches by title find items; searches for folders always do.
        folder_search_lag_seconds: folders are found by searches so long after they were made.
        dataset_search_lag_seconds: datasets are found so long after they were made.
        datasets_read_only: whether the users may only read datasets that exist.
        unknown_links: what linking an item that does not exist does.
        listed_links: which rows the reply to linking lists.
        links_name_items: whether rows of a dataset name their item.
        job_retention_seconds: ids of ended jobs are unknown (404) so long after their end; None: never.
        poll_hold_seconds: longest time that a poll is held; 0: every poll is answered at once.
        summary_upload_jobs: what the folder summary's ``uploadJobs`` counts.
        patch_merges_metadata: whether patched client metadata is merged into what is there, instead of replacing it.
        requests_per_second: faster requests get 429; None: no limit.
        retry_after: the hint with that 429.
        rate_limit_headers: whether every reply says how many requests are left.
        error_text: which key of an error's body holds its text.
        max_units_per_job: more in one upload job are refused (400).
        max_units_in_flight: more in all pending jobs together get 429; None: no limit.
        upsert_merges_metadata: whether upserted client metadata is merged into what is there, instead of replacing it.
        media_names: which names of media metadata are read in the JSON form.
        client_only: whether units without media metadata fail, as under strict client-only access.
        lenient: whether unknown keys in ``externalFiles`` are ignored instead of refused.
        skew_seconds: largest difference between a signature's ``created`` and the sandbox's clock.
        body_limit_bytes: larger request bodies are refused with 413.

    Raises:
        UsageError: if a number that must be above 0 is not.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    admin_port: int | None = None
    admin_port_or_free: bool = False
    authorised_keys: tuple[str, ...] = ()
    integrations: tuple[Integration, ...] = (Integration(DEFAULT_INTEGRATION_TITLE),)
    unit_rules: tuple[UnitRule, ...] = ()
    job_seconds: float = 0.2
    workers: int = 4
    read_workers: int = 16
    dedupe_at: DedupeAt = DedupeAt.START
    skipped_in_items_with_names: bool = False
    skipped_counts_as: SkippedCountsAs = SkippedCountsAs.NONE
    rollback_on_error: bool = False
    listed_on_error: ListedOnError = ListedOnError.KEPT
    errors_end_jobs: bool = False
    error_urls: ErrorUrls = ErrorUrls.SENT
    error_frames: ErrorFrames = ErrorFrames.FAILED
    error_text_has_url: bool = False
    titles_as_sent: bool = True
    url_normalised: bool = True
    url_matching: UrlMatching = UrlMatching.EXACT
    group_matching: GroupMatching = GroupMatching.ALL_URLS
    listing_lag_seconds: float = 0.0
    listing_in_order: bool = True
    search_finds_items: bool = True
    folder_search_lag_seconds: float = 0.0
    dataset_search_lag_seconds: float = 0.0
    datasets_read_only: bool = False
    unknown_links: UnknownLinks = UnknownLinks.SKIPPED
    listed_links: ListedLinks = ListedLinks.NEW
    links_name_items: bool = True
    job_retention_seconds: float | None = 3600.0
    poll_hold_seconds: float = 60.0
    summary_upload_jobs: SummaryUploadJobs = SummaryUploadJobs.NONE
    patch_merges_metadata: bool = False
    requests_per_second: float | None = None
    retry_after: RetryAfter = RetryAfter.NONE
    rate_limit_headers: bool = False
    error_text: ErrorText = ErrorText.MESSAGE
    max_units_per_job: int = 10_000
    max_units_in_flight: int | None = None
    upsert_merges_metadata: bool = False
    media_names: MediaNames = MediaNames.ANY
    client_only: bool = False
    lenient: bool = False
    skew_seconds: float = 900.0
    body_limit_bytes: int = BODY_LIMIT_BYTES

    def __post_init__(self) -> None:
        for name in ("workers", "read_workers", "requests_per_second", "max_units_per_job", "max_units_in_flight"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"sandbox: {name} is {value}; write a number above 0")
