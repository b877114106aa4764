"""The tags by which Dagster knows what an asset was made from, for events that steps report themselves.

Dagster writes them for what an asset returns, and for nothing that an op or a step over chunks yields. Without them it
compares times, and shows as "Unsynced" what depends on a partition that was never materialized, as a failed chunk is. What
does not belong here: which assets depend on which (``asset_specs.py``).
"""

from collections.abc import Mapping

import dagster as dg

from registration_pipeline.orchestration.private_dagster import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

PLAN_VERSION = "chunks-never-change"
"""The data version of every chunk plan. What is made of a chunk does not become outdated when a later plan adds others."""


def made_now(instance: dg.DagsterInstance, spec: dg.AssetSpec | None, version: str | None) -> dict[str, str]:
    """Return the tags of an asset without partitions that is made from what there is now.

    Args:
        instance: knows the newest events of what it is made from.
        spec: of the asset; None: nothing is known of it, and there are no tags.
        version: of its data; None: it has none.
    """
    if spec is None:
        return {}
    tags = _of_itself(spec, version)
    for dep in spec.deps:
        newest = instance.get_latest_data_version_record(dep.asset_key)
        found = None if newest is None else extract_data_version_from_entry(newest.event_log_entry)
        tags[get_input_data_version_tag(dep.asset_key)] = (found or DEFAULT_DATA_VERSION).value
        tags[get_input_event_pointer_tag(dep.asset_key)] = (
            NULL_EVENT_POINTER if newest is None else str(newest.storage_id)
        )
    return tags


def made_of_chunk(spec: dg.AssetSpec | None, inputs: Mapping[dg.AssetKey, str], version: str | None) -> dict[str, str]:
    """Return the tags of a partition, which is made from what never changes.

    Args:
        spec: of the asset; None: nothing is known of it, and there are no tags.
        inputs: the data version of each asset that it is made from; the default one for others.
        version: of its own data; None: it has none.
    """
    if spec is None:
        return {}
    tags = _of_itself(spec, version)
    for dep in spec.deps:
        tags[get_input_data_version_tag(dep.asset_key)] = inputs.get(dep.asset_key, DEFAULT_DATA_VERSION.value)
        tags[get_input_event_pointer_tag(dep.asset_key)] = NULL_EVENT_POINTER
    return tags


def _of_itself(spec: dg.AssetSpec, version: str | None) -> dict[str, str]:
    tags = {} if spec.code_version is None else {CODE_VERSION_TAG: spec.code_version}
    if version is not None:
        tags |= {DATA_VERSION_TAG: version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
    return tags
