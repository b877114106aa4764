"""registration.yaml as frozen models: every key, its type, range and default.

What does not belong here: reading the file (``settings/load.py``, which also is where other packages import these from)
and rules that span several keys (``settings/cross_checks.py``).
"""

from __future__ import annotations

import difflib
import re
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations of models at run time
from typing import Annotated, Any
from zlib import crc32
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from registration_pipeline.limits import MAX_ITEMS, EncordPlan
from registration_pipeline.objects import KINDS, MediaKind, RejectionReason
from registration_pipeline.settings.addresses import (
    SourceLocation,
    SourceScheme,
    parse_domain,
    parse_endpoint,
    parse_location,
)
from registration_pipeline.settings.cron import cron_problem
from registration_pipeline.settings.endpoints import is_providers_own
from registration_pipeline.settings.executor import ExecutorSettings, LocalSteps
from registration_pipeline.settings.metadata import (
    DatasetSettings,
    MediaMetadata,
    MetadataEntry,
    MetadataSchema,
    SubmitAs,
)
from registration_pipeline.settings.notify import NotifyTarget  # noqa: TC001 - likewise
from registration_pipeline.settings.report_address import parse_report_location
from registration_pipeline.settings.tags import Tags  # noqa: TC001 - likewise
from registration_pipeline.settings.units import GroupRule, KindRule, source_title
from registration_pipeline.settings.values import MOST_DAYS, MOST_SECONDS, Glob, Name, Switch, WholeNumber, YamlModel


class UrlStyle(StrEnum):
    """How an ``objectUrl`` is written."""

    VIRTUAL_HOSTED = "virtual-hosted"
    PATH = "path"
    S3 = "s3"
    MRAP = "mrap"
    GS = "gs"
    HTTPS = "https"
    AZURE = "azure"
    OBS = "obs"
    FILE = "file"


_DEFAULT_URL_STYLES: dict[str, UrlStyle] = {
    SourceScheme.GS: UrlStyle.HTTPS,
    SourceScheme.AZ: UrlStyle.AZURE,
    SourceScheme.OBS: UrlStyle.OBS,
    SourceScheme.FILE: UrlStyle.FILE,
}


_SWITCHES = {"yes", "no", "on", "off", "true", "false"}


def _checked(uri: str) -> str:
    parse_location(uri)
    return uri


def _not_a_switch(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in _SWITCHES):
        raise ValueError("must be a cron such as '0 2 * * *'; null switches it off")
    return value


def _cron(expression: str) -> str:
    if (problem := cron_problem(expression)) is not None:
        raise ValueError(problem)
    return expression


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError("must be a time zone such as UTC or Europe/Berlin") from None
    except KeyError:
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"must be a time zone such as UTC or Europe/Berlin{meant}") from None
    return name


def _off(value: Any) -> Any:
    return MediaMetadata.OFF if value is False else value  # YAML reads a bare off as false


def _region(region: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", region):
        raise ValueError("must be a region's code, e.g. eu-west-2")
    return region


def _access_point_arn(arn: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:s3::[0-9]+:accesspoint/[a-z0-9]+\.mrap", arn):
        raise ValueError("must be a multi-region access point: arn:aws:s3::<account>:accesspoint/<alias>.mrap")
    return arn


def _report_location(text: str) -> str:
    parse_report_location(text)
    return text


def _source_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise ValueError("a source's name is made of a-z, 0-9 and hyphens; it names folders and Dagster groups")
    return name


ChunkSize = Annotated[WholeNumber, Field(ge=1, le=MAX_ITEMS)]


class EncordSettings(YamlModel):
    """Which Encord. ``ENCORD_DOMAIN`` overrides: ask ``encord_domain``.

    Args:
        domain: its address.
        timeout_seconds: how long one reply may take.
        plan: what was bought from Encord; it limits units per manifest, and bytes.
    """

    domain: Annotated[str, AfterValidator(parse_domain)] = "https://api.encord.com"
    timeout_seconds: Annotated[WholeNumber, Field(ge=3, le=600)] = 120
    plan: EncordPlan = EncordPlan.ENTERPRISE


class StorageSettings(YamlModel):
    """Options of the store that holds a source's objects.

    Args:
        region: of the bucket, for the URLs that need it and for the client; without it the client finds it.
        endpoint_url: of an S3-compatible store.
        profile: of the AWS configuration.
        access_point_arn: for ``url_style: mrap``.
        inventory_report: where the provider delivers inventory reports of the bucket, which are read instead of listing it.
        report_max_age_days: an older report is refused. Weekly reports are the rarest, and take a day to arrive.
        top_up: list what may have changed since the report.
        concurrency: the most listing requests at once.
        versions: list the current objects with their version ids, page after page.
        key_count: refuse a page of a listing of S3 that says another number of entries than it has.
        requester_pays: say on every request that the requester pays for it; such buckets refuse all others.
    """

    region: Annotated[str, AfterValidator(_region)] | None = None
    endpoint_url: Annotated[str, AfterValidator(parse_endpoint)] | None = None
    profile: Name | None = None
    access_point_arn: Annotated[str, AfterValidator(_access_point_arn)] | None = None
    inventory_report: Annotated[str, AfterValidator(_report_location)] | None = None
    report_max_age_days: Annotated[WholeNumber, Field(ge=1, le=400)] = 8
    top_up: Switch = False
    concurrency: Annotated[WholeNumber, Field(ge=1, le=64)] = 16
    versions: Switch = False
    key_count: Switch = True
    requester_pays: Switch = False


class SourceEncordSettings(YamlModel):
    """Where in Encord a source's objects go.

    Args:
        folder: UUID or name; by default the source's name.
        integration: UUID or title; every store needs one.
    """

    folder: Name = ""
    integration: Name | None = None


class ChunkSizes(YamlModel):
    """Units per chunk and kind. Defaults are those of the kind table; ``encord.plan`` may allow less than the most here."""

    images: ChunkSize = KINDS[MediaKind.IMAGE].chunk_units
    videos: ChunkSize = KINDS[MediaKind.VIDEO].chunk_units
    audio: ChunkSize = KINDS[MediaKind.AUDIO].chunk_units
    pdfs: ChunkSize = KINDS[MediaKind.PDF].chunk_units
    text: ChunkSize = KINDS[MediaKind.TEXT].chunk_units
    nifti: ChunkSize = KINDS[MediaKind.NIFTI].chunk_units
    image_groups: ChunkSize = KINDS[MediaKind.IMAGE_GROUP].chunk_units
    image_sequences: ChunkSize = KINDS[MediaKind.IMAGE_SEQUENCE].chunk_units
    dicom_series: ChunkSize = KINDS[MediaKind.DICOM_SERIES].chunk_units

    def of(self, kind: MediaKind) -> int:
        """Return the units per chunk of one kind."""
        size: int = getattr(self, kind.value)
        return size


class SourceSettings(YamlModel):
    """One bucket or prefix, its rules and its target folder.

    Args:
        name: the key under ``sources``.
        uri: as written.
        storage: options of the store.
        url_style: how objectUrl is written; by default ``virtual-hosted`` for ``s3://``, ``https`` for ``gs://``, ``azure``
            for ``az://``, ``obs`` for ``obs://`` and ``file`` for ``file://``; ``path`` with an endpoint, except with one of
            the provider's own other than Amazon.
        include: globs on the key below the prefix; empty means every supported type.
        exclude: globs that win over ``include``.
        encord: the target.
        chunk_size: units per chunk.
        kinds: what objects are, where their suffix does not say it; the first pattern that matches decides.
        groups: which objects become one unit; the first rule that takes an object decides.
        title: template for units of one object.
        metadata: where client metadata comes from; later entries win, key by key.
        metadata_schema: types of client metadata; compared with Encord's and, on request, added to it.
        upsert_metadata: send metadata that changed again for registered units.
        media_metadata: whether headers of media are read.
        strict_client_only: reject units without media metadata.
        submit_as: which of Encord's two forms manifests are sent in.
        dataset: where registered items are linked; None: nowhere.
        max_in_flight: upload jobs open at once.
        settle_seconds: quiet time before an upload whose start is in doubt is sent again.
        max_attempts: how often a chunk with failures that may pass by themselves is tried before its retries are exhausted.
        job_timeout_seconds: an upload job that takes longer is cancelled.
        min_age_seconds: younger objects wait for the next sync.
        key_ranges: in how many steps a run lists the source and reads its headers and media, for ``executor`` to spread.
        schedule: cron of the nightly sync; None switches it off. By default a minute between 02:00 and 02:59 that follows from
            the name, so that many sources do not start at once.
        timezone: in which the schedule is read.
        freshness_hours: a source that was not synced for this long is stale; None switches that off.
        accept_rejected: reasons of rejection that do not lead to exit status 3 and to alerts.
        keep_partitions_days: chunks that were registered longer ago leave Dagster's view; None: all stay. The state keeps all.
        run_tags: of all runs of the source's jobs, for Dagster's launchers, queues and people.
        op_tags: of all its steps and assets, for Dagster's executors; the values are text, or JSON such as a mapping.
    """

    name: Annotated[str, AfterValidator(_source_name)]
    uri: Annotated[str, AfterValidator(_checked)]
    storage: StorageSettings = StorageSettings()
    url_style: UrlStyle = UrlStyle.VIRTUAL_HOSTED
    include: tuple[Glob, ...] = ()
    exclude: tuple[Glob, ...] = ()
    encord: SourceEncordSettings = SourceEncordSettings()
    chunk_size: ChunkSizes = ChunkSizes()
    kinds: tuple[KindRule, ...] = ()
    groups: tuple[GroupRule, ...] = ()
    title: Annotated[str, AfterValidator(source_title)] = "{key}"
    metadata: tuple[MetadataEntry, ...] = ()
    metadata_schema: MetadataSchema = Field(default_factory=dict)
    upsert_metadata: Switch = False
    media_metadata: Annotated[MediaMetadata, BeforeValidator(_off)] = MediaMetadata.OFF
    strict_client_only: Switch = False
    submit_as: SubmitAs = SubmitAs.JSON
    dataset: DatasetSettings | None = None
    max_in_flight: Annotated[WholeNumber, Field(ge=1, le=64)] = 4
    settle_seconds: Annotated[WholeNumber, Field(ge=0, le=MOST_SECONDS)] = 120
    max_attempts: Annotated[WholeNumber, Field(ge=1)] = 3
    job_timeout_seconds: Annotated[WholeNumber, Field(ge=1, le=MOST_SECONDS)] = 86_400
    min_age_seconds: Annotated[WholeNumber, Field(ge=0, le=MOST_SECONDS)] = 0
    key_ranges: Annotated[WholeNumber, Field(ge=1, le=1_000)] = 1
    schedule: Annotated[Annotated[str, AfterValidator(_cron)] | None, BeforeValidator(_not_a_switch)] = "0 2 * * *"
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    freshness_hours: Annotated[WholeNumber, Field(ge=1, le=8_784)] | None = 36
    accept_rejected: tuple[RejectionReason, ...] = ()
    keep_partitions_days: Annotated[WholeNumber, Field(ge=1, le=MOST_DAYS)] | None = None
    run_tags: Tags = Field(default_factory=dict)
    op_tags: Tags = Field(default_factory=dict)

    @property
    def location(self) -> SourceLocation:
        """The parsed URI."""
        return parse_location(self.uri)

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults_that_depend_on_other_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        if "schedule" not in filled:
            filled["schedule"] = spread_schedule(str(filled.get("name")))
        if filled.get("url_style") is None:
            filled["url_style"] = _default_url_style(filled.get("uri"), filled.get("storage"))
        encord = filled.get("encord", {})
        if isinstance(encord, SourceEncordSettings):
            filled["encord"] = encord if encord.folder else encord.model_copy(update={"folder": filled.get("name")})
        elif isinstance(encord, dict) and encord.get("folder") is None:
            filled["encord"] = {**encord, "folder": filled.get("name")}
        return filled


def spread_schedule(name: str) -> str:
    """Return the schedule of a source that has none: once a night in the hour of two, at a minute that its name decides."""
    return f"{crc32(name.encode()) % 60} 2 * * *"


def _default_url_style(uri: Any, storage: Any) -> UrlStyle:
    """Return the style whose URLs lead to where the source is listed."""
    scheme = uri.partition("://")[0] if isinstance(uri, str) else ""
    own = _DEFAULT_URL_STYLES.get(scheme, UrlStyle.VIRTUAL_HOSTED)
    endpoint, region = (
        storage.get(name) if isinstance(storage, dict) else getattr(storage, name, None)
        for name in ("endpoint_url", "region")
    )
    if not endpoint or own is UrlStyle.FILE:
        return own
    if own is UrlStyle.VIRTUAL_HOSTED:
        return UrlStyle.PATH
    try:
        is_own = is_providers_own(parse_location(uri), parse_endpoint(str(endpoint)), region)
    except ValueError:
        return own  # the validators of the two say what is wrong
    return own if is_own else UrlStyle.PATH


class Settings(YamlModel):
    """All of registration.yaml.

    Args:
        state: an absolute path, or a URL without trailing slash.
        encord: which Encord.
        sources: by name, in the order of the file.
        notify: who gets a message when a night goes wrong, and when it is well again.
        metrics: a file for Prometheus that every sync writes; None: none.
        executor: what executes the steps of runs that can be spread over workers.
        path: the file, absolute.
        folder: what relative paths start from; None: the file's folder.
    """

    state: str
    encord: EncordSettings = EncordSettings()
    sources: dict[str, SourceSettings]
    notify: tuple[NotifyTarget, ...] = ()
    metrics: Path | None = None
    executor: ExecutorSettings = ExecutorSettings(in_process=LocalSteps())
    path: Path
    folder: Path | None = None

    @property
    def base_folder(self) -> Path:
        """What relative paths start from, absolute."""
        return self.folder or self.path.parent
