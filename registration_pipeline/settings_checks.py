"""Rules that span several keys of registration.yaml, applied once every key is right in itself.

What does not belong here: a single key's type and range (``settings_models.py``). Problems come as (location, text);
locations are relative to the source, or to the top for rules that span sources.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registration_pipeline.rules import KeyRules
from registration_pipeline.settings_location import SourceScheme, lies_within
from registration_pipeline.settings_models import UrlStyle
from registration_pipeline.settings_report import REPORTING_SCHEMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from registration_pipeline.settings_file import Location
    from registration_pipeline.settings_models import SourceSettings

Found = tuple["Location", str]


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
            yield from _url_style_problems(source)
        elif source.url_style != UrlStyle.FILE:
            yield ("url_style",), "file:/// sources have url_style: file; leave the key out"
    if not doubtful & {"include", "exclude"} and _lists_its_own_state(source, state):
        yield ("uri",), "the state lies inside this source and would be registered; move it, or exclude its folder"


def _report_problems(source: SourceSettings) -> Iterator[Found]:
    storage, scheme = source.storage, source.location.scheme
    if storage.inventory_report is not None and scheme not in REPORTING_SCHEMES:
        text = f"no inventory reports are read for {scheme}:// sources; remove the key to list the source"
        yield ("storage", "inventory_report"), text
    if not storage.top_up:
        return
    if storage.inventory_report is None:
        yield ("storage", "top_up"), "tops up an inventory report; add storage.inventory_report, or remove the key"
    elif scheme != SourceScheme.S3:
        yield ("storage", "top_up"), "works for s3:// sources only in this version; remove the key"


def _url_style_problems(source: SourceSettings) -> Iterator[Found]:
    style, storage = source.url_style, source.storage
    if style == UrlStyle.FILE:
        yield ("url_style",), "file is for file:/// sources only; use virtual-hosted, path, s3 or mrap"
    elif style == UrlStyle.MRAP and storage.access_point_arn is None:
        yield ("storage", "access_point_arn"), "missing: url_style mrap needs the access point; add its ARN"
    elif style in (UrlStyle.VIRTUAL_HOSTED, UrlStyle.PATH):
        if storage.region is None and storage.endpoint_url is None:
            yield ("storage", "region"), f"missing: url_style {style} needs it; add storage.region: the bucket's region"
        if style == UrlStyle.VIRTUAL_HOSTED and not re.fullmatch(r"[a-z0-9.-]+", source.location.bucket):
            yield ("url_style",), "virtual-hosted needs a bucket name in lower case without underscores; use path"


def _lists_its_own_state(source: SourceSettings, state: str) -> bool:
    folder = lies_within(state, source.location)
    if folder is None:
        return False
    # Manifests are what Encord would take: JSON counts as text.
    manifest = source.location.below_prefix(f"{folder}{source.name}/manifests/chunk.json")
    return KeyRules(source.include, source.exclude).excluded_by(manifest) is None


def target_problems(sources: Iterable[SourceSettings]) -> Iterator[Found]:
    """Yield sources that would register the same objects in the same folder."""
    seen: dict[tuple[object, ...], str] = {}
    for source in sources:
        target = (source.location, source.storage.endpoint_url, source.encord.folder)
        if target in seen:
            text = (
                f"has the same uri and encord.folder as source {seen[target]!r}; every object would be registered"
                " twice: merge the two, or give them different folders"
            )
            yield ("sources", source.name), text
        seen.setdefault(target, source.name)
