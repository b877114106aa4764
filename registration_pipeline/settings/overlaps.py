"""Sources that could register one object twice: one bucket, prefixes that share keys, one folder in Encord.

Two ledgers that hold the same object send it twice, and Encord sees that only when the two uploads do not run at once. So such
sources are refused, unless their globs prove that they share no key. What does not belong here: rules about one source
(``cross_checks.py``), and searching the folder of a name in Encord (``submission/shared_folder.py``).
"""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from itertools import combinations
from os.path import normpath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from registration_pipeline.globs import KeyRules
from registration_pipeline.settings.addresses import SourceScheme

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registration_pipeline.settings.models import SourceSettings
    from registration_pipeline.settings.yaml_source import Location

_DEFAULT_PORTS = (None, 80, 443)
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
_AMAZON = re.compile(r"(?:.+\.)?amazonaws\.com(\.cn)?")
_AMAZON_PARTITIONS = ("cn-", "us-gov-")
_OTC_HOST = "obs.{region}.otc.t-systems.com"
_ANY_NAME = "\U0010fffe"
"""Stands for a name that no pattern can mean by accident."""

_UNPROVABLE = re.compile(r"[\[?\\!]")
"""What makes a pattern match some names of a directory and not others, beside ``*``."""


def overlap_problems(sources: Iterable[SourceSettings]) -> Iterator[tuple[Location, str]]:
    """Yield the sources that would register objects of an earlier source in the same folder.

    A folder that one names by its title and the other by its UUID is not judged here: ``folder_in_doubt`` finds it.
    """
    for first, second in _sharing_keys(sources):
        if folder_key(first) == folder_key(second):
            yield ("sources", second.name), refusal(first, second)


def folder_in_doubt(source: SourceSettings, sources: Iterable[SourceSettings]) -> list[SourceSettings]:
    """Return the sources that share keys with this one and name a folder that only Encord can compare with its own.

    Args:
        source: which.
        sources: all of the configuration, this one too.
    """
    others = [other for other in sources if other.name != source.name and _is_uuid(other) != _is_uuid(source)]
    return [other for other in others if any(_sharing_keys([source, other]))]


def refusal(first: SourceSettings, second: SourceSettings) -> str:
    """Say that two sources register the same objects in one folder, why, and what to change. Quotes no address."""
    if first.location == second.location:
        why = f"has the same uri and encord.folder as source {first.name!r}"
    else:
        outer, inner = (first, second) if _holds(first, second) else (second, first)
        place = f"the uri of {inner.name!r} lies within the uri of {outer.name!r}"
        why = f"shares objects and encord.folder with source {first.name!r} ({place})"
    return (
        f"{why}; every object of both would be registered twice: give them different folders, exclude from the one what "
        "the other holds, or merge the two"
    )


def folder_key(source: SourceSettings) -> str:
    """Return the folder as it is compared: a UUID may be written in several ways."""
    folder = source.encord.folder
    return str(uuid.UUID(folder)) if _is_uuid(source) else folder


def _is_uuid(source: SourceSettings) -> bool:
    try:
        uuid.UUID(source.encord.folder)
    except ValueError:
        return False
    return True


def _sharing_keys(sources: Iterable[SourceSettings]) -> Iterator[tuple[SourceSettings, SourceSettings]]:
    """Yield the pairs, in the order of the configuration, that are not proven to list different objects."""
    by_bucket: dict[tuple[str, ...], list[SourceSettings]] = defaultdict(list)
    for source in sources:
        by_bucket[_bucket(source)].append(source)
    for group in by_bucket.values():
        for first, second in combinations(group, 2):
            if (_holds(first, second) or _holds(second, first)) and not _are_disjoint(first, second):
                yield first, second


def _bucket(source: SourceSettings) -> tuple[str, ...]:
    """Return what is equal for two sources in one bucket, also where they reach it by different addresses."""
    location, region = source.location, source.storage.region
    if location.scheme == SourceScheme.FILE:
        return ("file",)
    hosts = {
        SourceScheme.S3: "amazonaws.com",
        SourceScheme.GS: "storage.googleapis.com",
        SourceScheme.AZ: f"{location.account}.blob",
        SourceScheme.OBS: _OTC_HOST.format(region=region),
    }
    endpoint = source.storage.endpoint_url
    store = _store(endpoint) if endpoint else hosts[location.scheme]
    if store == "amazonaws.com":
        # Bucket names are Amazon's everywhere, apart from its partitions.
        store += next((name for name in _AMAZON_PARTITIONS if (region or "").startswith(name)), "")
    return (store, location.account, location.bucket)


def _store(endpoint: str) -> str:
    """Return which store an endpoint is: host, and port unless it is the usual one."""
    parts = urlsplit(endpoint)
    host = (parts.hostname or "").rstrip(".")
    if (amazon := _AMAZON.fullmatch(host)) is not None:
        return "amazonaws.com" + ("cn-" if amazon[1] else "")
    if host.partition(".")[2].startswith("blob."):
        host = f"{host.partition('.')[0]}.blob"  # an account's name is Azure's everywhere
    host = "localhost" if host in _THIS_MACHINE else host
    return host + ("" if parts.port in _DEFAULT_PORTS else f":{parts.port}") + parts.path


def _holds(outer: SourceSettings, inner: SourceSettings) -> bool:
    """Return whether the keys of one source lie within those of another in the same bucket, before any rule."""
    return _keys_of(inner).startswith(_keys_of(outer))


def _keys_of(source: SourceSettings) -> str:
    """Return what all keys of a source begin with."""
    location = source.location
    return location.prefix if location.path is None else f"{normpath(location.path)}/".replace("//", "/")


def _are_disjoint(first: SourceSettings, second: SourceSettings) -> bool:
    """Return whether the globs prove that no object is in both. What can't be proven counts as shared."""
    starts = [_starts(source) for source in (first, second)]
    if not any(a.startswith(b) or b.startswith(a) for a in starts[0] for b in starts[1]):
        return True
    return _excludes(first, starts[1]) or _excludes(second, starts[0])


def _base(source: SourceSettings) -> str:
    """Return the directory that the globs of a source begin at."""
    keys = _keys_of(source)
    return keys[: keys.rfind("/") + 1]


def _starts(source: SourceSettings) -> list[str]:
    """Return beginnings of which every included key has one: the directories that its include globs name."""
    keys, base = _keys_of(source), _base(source)
    included = [pattern for pattern in source.include if not pattern.startswith("!")]
    starts = [base + _literal_start(pattern) for pattern in included] or [keys]
    # A glob may name more than the source lists.
    return [start if start.startswith(keys) else keys for start in starts]


def _literal_start(pattern: str) -> str:
    """Return what a key must begin with to match; nothing for a pattern that matches at any depth."""
    if "/" not in pattern.rstrip("/"):
        return ""
    return re.split(r"[*?\[\\]", pattern.removeprefix("/").rstrip("/"), maxsplit=1)[0].rstrip(" ")


def _excludes(source: SourceSettings, starts: Iterable[str]) -> bool:
    """Return whether a source excludes every key that begins in one of these ways, whatever follows."""
    if any(pattern.startswith("!") for pattern in source.exclude):
        return False
    base = _base(source)
    rules = [KeyRules(exclude=[pattern]) for pattern in source.exclude if not _UNPROVABLE.search(pattern)]

    def excludes(start: str) -> bool:
        # A name that no pattern means and an empty one (``a//b``): what matches both matches every key below.
        keys = [start.removeprefix(base) + rest for rest in (_ANY_NAME, f"/{_ANY_NAME}")]
        return start.startswith(base) and any(all(rule.excluded_by(key) for key in keys) for rule in rules)

    return all(excludes(start) for start in starts)
