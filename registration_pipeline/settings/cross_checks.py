"""Rules that span several keys of registration.yaml, applied once every key is right in itself.

What does not belong here: a single key's type and range (``settings/models.py``). Problems come as (location, text);
locations are relative to the source, or to the top for rules that span sources.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

from registration_pipeline.globs import KeyRules
from registration_pipeline.limits import MANIFEST_LIMITS
from registration_pipeline.objects import MediaKind
from registration_pipeline.settings.addresses import SourceScheme, lies_within
from registration_pipeline.settings.endpoints import is_providers_own
from registration_pipeline.settings.metadata_checks import metadata_problems
from registration_pipeline.settings.models import UrlStyle
from registration_pipeline.settings.report_address import REPORTING_SCHEMES
from registration_pipeline.settings.tags import tag_problems
from registration_pipeline.settings.unit_checks import unit_problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from registration_pipeline.limits import EncordPlan
    from registration_pipeline.settings.models import SourceSettings
    from registration_pipeline.settings.yaml_source import Location

Found = tuple["Location", str]

URL_STYLES: dict[SourceScheme, tuple[UrlStyle, ...]] = {
    SourceScheme.S3: (UrlStyle.VIRTUAL_HOSTED, UrlStyle.PATH, UrlStyle.S3, UrlStyle.MRAP),
    SourceScheme.GS: (UrlStyle.HTTPS, UrlStyle.GS, UrlStyle.PATH),
    SourceScheme.AZ: (UrlStyle.AZURE, UrlStyle.PATH),
    SourceScheme.OBS: (UrlStyle.OBS, UrlStyle.VIRTUAL_HOSTED, UrlStyle.PATH),
    SourceScheme.FILE: (UrlStyle.FILE,),
}
"""Which styles a kind of store has, its default first (with an endpoint of another store it is ``path``)."""

_OF_THE_PROVIDER = {UrlStyle.S3, UrlStyle.MRAP, UrlStyle.HTTPS, UrlStyle.GS, UrlStyle.AZURE, UrlStyle.OBS}
"""Styles whose URLs lead to the provider's own store, whatever ``storage.endpoint_url`` says."""


def source_problems(source: SourceSettings, state: str, doubtful: AbstractSet[str] = frozenset()) -> Iterator[Found]:
    """Yield what is wrong with a source as a whole.

    Args:
        source: every key right in itself.
        state: where the state lives.
        doubtful: keys of the source that had problems of their own and were replaced by defaults; what depends on
            them is not judged.
    """
    is_file = source.location.scheme == SourceScheme.FILE
    if not is_file and source.encord.integration is None and "encord" not in doubtful:
        text = "missing: Encord reads the bucket through an integration; add its title or UUID"
        yield ("encord", "integration"), text
    if "storage" not in doubtful:
        yield from _report_problems(source)
    if not doubtful & {"url_style", "storage"}:
        if not is_file:
            yield from _storage_problems(source)
            yield from _url_style_problems(source)
        elif source.url_style != UrlStyle.FILE:
            yield ("url_style",), "file:/// sources have url_style: file; leave the key out"
    yield from unit_problems(source)
    yield from tag_problems(source)
    yield from metadata_problems(source, doubtful)
    if not doubtful & {"include", "exclude"} and _lists_its_own_state(source, state):
        yield ("uri",), "the state lies inside this source and would be registered; move it, or exclude its folder"


def plan_problems(sources: Iterable[SourceSettings], plan: EncordPlan) -> Iterator[Found]:
    """Yield the chunk sizes that are larger than Encord accepts under its plan.

    Args:
        sources: right in themselves.
        plan: ``encord.plan``.
    """
    limit = MANIFEST_LIMITS[plan].entries
    for source, kind in product(sources, MediaKind):
        if source.chunk_size.of(kind) > limit:
            text = f"must be {limit} or less: encord.plan {plan} allows {limit:,} units per manifest"
            yield ("sources", source.name, "chunk_size", kind.value), text


def _report_problems(source: SourceSettings) -> Iterator[Found]:
    storage, scheme = source.storage, source.location.scheme
    if storage.inventory_report is not None and scheme not in REPORTING_SCHEMES:
        text = f"no inventory reports are read for {scheme}:// sources; remove the key to list the source"
        yield ("storage", "inventory_report"), text
    if storage.top_up and storage.inventory_report is None:
        yield ("storage", "top_up"), "tops up an inventory report; add storage.inventory_report, or remove the key"


def _storage_problems(source: SourceSettings) -> Iterator[Found]:
    scheme = source.location.scheme
    if scheme in {SourceScheme.GS, SourceScheme.AZ} and source.storage.profile is not None:
        text = f"a profile is for s3:// and obs:// sources; credentials of {scheme}:// come from the environment: remove it"
        yield ("storage", "profile"), text
    if source.storage.versions and scheme not in {SourceScheme.S3, SourceScheme.OBS}:
        text = f"is for s3:// and obs:// sources; {scheme}:// sources have what there is without it: remove the key"
        yield ("storage", "versions"), text
    if source.storage.versions and source.storage.inventory_report is not None:
        text = "has no effect on inventory reports, which have version ids where they were asked for: remove the key"
        yield ("storage", "versions"), text
    if not source.storage.key_count and scheme not in {SourceScheme.S3, SourceScheme.OBS}:
        text = f"is for s3:// and obs:// sources; stores of {scheme}:// sources say no such number: remove the key"
        yield ("storage", "key_count"), text
    if source.storage.requester_pays and scheme not in {SourceScheme.S3, SourceScheme.GS}:
        text = f"is for s3:// and gs:// sources; {scheme}:// has no such buckets, or no way to say so: remove the key"
        yield ("storage", "requester_pays"), text
    if scheme == SourceScheme.OBS and source.storage.region is None and source.storage.endpoint_url is None:
        text = "missing: OBS is reached by region; add storage.region, e.g. eu-de, or storage.endpoint_url"
        yield ("storage", "region"), text


def _url_style_problems(source: SourceSettings) -> Iterator[Found]:
    style, storage, scheme = source.url_style, source.storage, source.location.scheme
    fitting = URL_STYLES[scheme]
    if style not in fitting:
        own = ", ".join(fitting[:-1]) + f" or {fitting[-1]}"
        yield ("url_style",), f"{style} is not for {scheme}:// sources; use {own}"
        return
    if style == UrlStyle.MRAP and storage.access_point_arn is None:
        yield ("storage", "access_point_arn"), "missing: url_style mrap needs the access point; add its ARN"
    if style == UrlStyle.PATH and scheme in {SourceScheme.GS, SourceScheme.AZ} and storage.endpoint_url is None:
        text = f"missing: url_style path writes it; add it, or leave url_style out for {fitting[0]}"
        yield ("storage", "endpoint_url"), text
    if storage.region is None and _needs_region(source):
        yield ("storage", "region"), f"missing: url_style {style} needs it; add storage.region: the bucket's region"
    elif _leads_elsewhere(source):
        text = (
            f"{style} leads to the provider's own store, but storage.endpoint_url lists another one; use path, whose URLs"
            " begin with the endpoint, or remove storage.endpoint_url"
        )
        yield ("url_style",), text
    if style == UrlStyle.VIRTUAL_HOSTED and not re.fullmatch(r"[a-z0-9.-]+", source.location.bucket):
        yield ("url_style",), "virtual-hosted needs a bucket name in lower case without underscores; use path"


def _leads_elsewhere(source: SourceSettings) -> bool:
    """Return whether the URLs lead to the provider's own store, and the endpoint to another one."""
    endpoint = source.storage.endpoint_url
    if endpoint is None or source.url_style not in _OF_THE_PROVIDER:
        return False
    return not is_providers_own(source.location, endpoint, source.storage.region)


def _needs_region(source: SourceSettings) -> bool:
    if source.location.scheme == SourceScheme.OBS:
        # Without endpoint the region is missing in any style, which is said once.
        return source.url_style == UrlStyle.OBS and source.storage.endpoint_url is not None
    if source.location.scheme != SourceScheme.S3:
        return False
    return source.url_style in {UrlStyle.VIRTUAL_HOSTED, UrlStyle.PATH} and source.storage.endpoint_url is None


def _lists_its_own_state(source: SourceSettings, state: str) -> bool:
    folder = lies_within(state, source.location)
    if folder is None:
        return False
    # Manifests are what Encord would accept: JSON counts as text.
    manifest = source.location.below_prefix(f"{folder}{source.name}/manifests/chunk.json")
    return KeyRules(source.include, source.exclude).excluded_by(manifest) is None
