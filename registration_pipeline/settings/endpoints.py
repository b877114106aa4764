"""Which store an endpoint leads to, and where each provider's own is: what a listing and its URLs are compared by.

What does not belong here: how a URL is written (``urls.py``), and the endpoints that clients have
(``project/clients/endpoints.py``). The regions and hosts of Amazon's partitions are botocore's own data.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from registration_pipeline.settings.addresses import SourceScheme

if TYPE_CHECKING:
    from registration_pipeline.settings.addresses import SourceLocation

GOOGLE = "Google Cloud Storage"
AMAZON = "Amazon S3"
# Labels of S3's host names (Amazon's "Service endpoints and quotas" of S3, and its user guide on VPC endpoints): whatever else
# ends in amazonaws.com, such as a load balancer in front of another store, is not S3.
_S3_LABELS = {"s3", "s3-fips", "s3-accelerate", "s3-accesspoint", "s3-accesspoint-fips", "s3-global", "s3-external-1"}
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A separate cloud of Amazon's: bucket names are unique in it, and its hosts end alike.

    Args:
        name: ``aws``, ``aws-cn``, ``aws-us-gov``, ``aws-iso``…
        suffix: of its host names, e.g. ``amazonaws.com.cn``.
        dual_stack_suffix: of its host names for IPv6.
        regions: those that botocore knows.
        region_form: an expression for those that it does not know yet.
    """

    name: str
    suffix: str
    dual_stack_suffix: str
    regions: frozenset[str]
    region_form: re.Pattern[str]

    def has(self, region: str) -> bool:
        """Return whether a region is in it."""
        return region in self.regions or self.region_form.fullmatch(region) is not None


@lru_cache(maxsize=1)
def partitions() -> tuple[Partition, ...]:
    """Return Amazon's partitions as botocore's data has them, ``aws`` first; botocore itself is not imported."""
    spec = find_spec("botocore")
    assert spec is not None
    assert spec.origin is not None
    data = json.loads((Path(spec.origin).parent / "data" / "partitions.json").read_text(encoding="utf-8"))
    return tuple(
        Partition(
            name=one["id"],
            suffix=one["outputs"]["dnsSuffix"],
            dual_stack_suffix=one["outputs"]["dualStackDnsSuffix"],
            regions=frozenset(one["regions"]),
            region_form=re.compile(one["regionRegex"]),
        )
        for one in sorted(data["partitions"], key=lambda one: one["id"] != "aws")
    )


def partition_of(region: str) -> Partition:
    """Return the partition of a region; one that is in none counts as ``aws``, as it does for botocore."""
    return next((one for one in partitions() if one.has(region)), partitions()[0])


def partition_of_arn(arn: str) -> Partition:
    """Return the partition that an ARN names in its second field."""
    name = arn.split(":")[1]
    return next((one for one in partitions() if one.name == name), partitions()[0])


def amazon_endpoint(region: str) -> str:
    """Return where S3 is in a region."""
    return f"https://s3.{region}.{partition_of(region).suffix}"


def azure_endpoint(account: str) -> str:
    """Return where an account of Azure's public cloud is."""
    return f"https://{account}.blob.core.windows.net"


def otc_endpoint(region: str) -> str:
    """Return where Open Telekom Cloud's OBS is in a region."""
    return f"https://obs.{region}.otc.t-systems.com"


def amazon_store(partition: Partition) -> str:
    """Return what ``store_at`` gives for S3 in a partition."""
    return AMAZON if partition.name == "aws" else f"{AMAZON} (partition {partition.name})"


def azure_store(account: str) -> str:
    """Return what ``store_at`` gives for an account of Azure's public cloud."""
    return f"account {account} in Azure's public cloud"


def otc_store(region: str) -> str:
    """Return what ``store_at`` gives for Open Telekom Cloud's OBS in a region."""
    return f"Open Telekom Cloud's OBS in {region}"


def store_at(location: SourceLocation, endpoint: str) -> str:
    """Return which store a source is listed in at an endpoint, as words for people that are equal for the same store.

    A provider's store has many endpoints: private, regional, IPv6, FIPS. Of any other store the endpoint itself is the name.

    Args:
        location: of the source.
        endpoint: a URL.
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if location.scheme == SourceScheme.S3 and (partition := _partition_at(host)) is not None:
        return amazon_store(partition)
    if location.scheme == SourceScheme.GS and f".{host}".endswith((".googleapis.com", ".storage.cloud.google.com")):
        return GOOGLE
    if location.scheme == SourceScheme.AZ and _is_azure(host, location.account):
        return azure_store(location.account)
    if location.scheme == SourceScheme.OBS and (found := re.fullmatch(r"obs\.([a-z0-9-]+)\.otc\.t-systems\.com", host)):
        return otc_store(found[1])
    port = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{port}{parts.path.rstrip('/')}"


def is_providers_own(location: SourceLocation, endpoint: str, region: str | None) -> bool:
    """Return whether an endpoint leads to the provider that the scheme of the source names.

    Args:
        location: of the source.
        endpoint: a URL.
        region: ``storage.region``; OBS is a store of its own in each region.
    """
    store = store_at(location, endpoint)
    if location.scheme == SourceScheme.OBS:
        return region is not None and store == otc_store(region)
    return store.startswith(AMAZON) or store in {GOOGLE, azure_store(location.account)}


def _partition_at(host: str) -> Partition | None:
    """Return the partition whose S3 has this host name; None if no partition's has."""
    labels = host.split(".")
    regions = [label.removeprefix("s3-") for label in labels]
    ending = [one for one in partitions() if host.endswith((f".{one.suffix}", f".{one.dual_stack_suffix}"))]
    is_s3 = any(
        label in _S3_LABELS or (label.startswith("s3-") and partition_of(label[3:]).has(label[3:])) for label in labels
    )
    if not ending or not is_s3:
        return None
    # GovCloud's hosts end like those of "aws": the region says which of the two it is.
    return next((one for one in ending if any(map(one.has, regions))), ending[0])


def _is_azure(host: str, account: str) -> bool:
    first, _, rest = host.partition(".")
    return f".{rest}".endswith(".blob.core.windows.net") and first in {account, f"{account}-secondary"}
