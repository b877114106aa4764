"""What a source's assets are declared with: key, group, description, kinds, tags and owners, also those that a host gives.

Also what they are made from. What does not belong here: what the assets do (``assets.py`` and the modules of the stages).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

from registration_pipeline.orchestration import names
from registration_pipeline.orchestration.automation.freshness import FRESH_STAGES, freshness_policy
from registration_pipeline.orchestration.names import Around, ConfigurationNames, SourceNames
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.reading import steps_of
from registration_pipeline.state.version import LAYOUT

Translation = Callable[[dg.AssetSpec], dg.AssetSpec]

CHUNK_STAGES = ("manifest", "registration")
"""Stages whose asset has a partition for each chunk."""


@dataclass(frozen=True)
class Embedding:
    """How a host project wants assets to be declared. By default they are as in a code location of their own.

    Args:
        key_prefix: what asset keys, jobs and partitions begin with.
        group_name: the group of all assets; None: each source has one of its own.
        owners: of all assets: ``team:…`` or an e-mail address.
        tags: of all assets, besides those that they have.
        translate: changes what an asset is declared with, its key too; called once for each asset.
        around: runs each step, for a host that has something to do before or after.
    """

    key_prefix: tuple[str, ...] = ()
    group_name: str | None = None
    owners: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    translate: Translation | None = None
    around: Around | None = None


@dataclass(frozen=True)
class _Described:
    """What an asset says of itself."""

    text: str
    kinds: tuple[str, ...] = ()


def _descriptions(source: SourceSettings) -> dict[str, _Described]:
    return {
        "inventory": _Described(f"Every object of {source.uri}, as Parquet.", ("parquet",)),
        "headers": _Described(
            "Which DICOM series each new object is in, read from its header. What is known is not read again.",
            ("parquet",),
        ),
        "media": _Described(
            "Width, length, codec and the like of each new object, from parts of it. What is known is not read again.",
            ("parquet",),
        ),
        "metadata": _Described(
            "The client metadata of each new object, from all entries of `metadata`, checked by `metadata_schema`.",
            ("parquet",),
        ),
        "chunk_plan": _Described("New objects in chunks; chunks that exist never change.", ("parquet",)),
        "manifest": _Described("A chunk in Encord's upload format.", ("json",)),
        "registration": _Described(
            "A chunk's objects in Encord. Why a partition failed: its run (link in the red box), the tab Events, or the check "
            f"`{names.NO_FAILED_CHUNKS}`. Retrying a failed partition sends the same manifest again."
        ),
        "metadata_upserts": _Described("New client metadata of units that are registered, sent again."),
        "dataset": _Described(
            "Registered units in their dataset in Encord. Nothing is linked twice, and nothing is unlinked."
        ),
        "failure_log": _Described(
            "What is not registered, and why: a row per failed unit and per rejected object.", ("csv", "parquet")
        ),
        "audit": _Described(
            "The last audit: bucket, ledger and Encord folder compared. Lists the whole folder, so no sync runs it.",
            ("csv", "parquet"),
        ),
    }


def name_source(
    source: SourceSettings, shared: ConfigurationNames | None = None, embedding: Embedding | None = None
) -> SourceNames:
    """Return the names of a source with what its assets are declared with.

    Args:
        source: its settings.
        shared: the names of what its configuration has once; by default those of a code location of its own.
        embedding: how a host wants the assets.

    Raises:
        ValueError: the host's translation gives two assets one key.
    """
    wanted = embedding or Embedding()
    bare = SourceNames(source.name, wanted.key_prefix, shared or ConfigurationNames())
    policy = freshness_policy(source)
    specs = {stage: _spec(bare, stage, said, wanted, policy) for stage, said in _descriptions(source).items()}
    if wanted.translate is not None:
        specs = {stage: _translated(spec, wanted.translate) for stage, spec in specs.items()}
    _refuse_equal_keys(source.name, specs)
    named = replace(bare, specs=specs, around=wanted.around, extra_run_tags=source.run_tags, op_tags=source.op_tags)
    made_from = _made_from(source, named)
    return replace(named, specs={stage: _with_deps(spec, made_from.get(stage, ())) for stage, spec in specs.items()})


def _made_from(source: SourceSettings, own: SourceNames) -> dict[str, Sequence[dg.AssetKey]]:
    """Return what the asset of each stage is made from, besides what a host added."""
    facts = [stage.name for stage in steps_of(source)]
    dataset = [own.dataset] if source.dataset is not None else []
    return {
        **{name: [own.inventory] for name in facts},
        "chunk_plan": [own.inventory, *map(own.facts, facts)],
        "manifest": [own.chunk_plan],
        "registration": [own.manifest],
        "metadata_upserts": [own.registration],
        "dataset": [own.registration],
        "failure_log": [own.registration, *dataset],
        "audit": [own.registration],
    }


def _spec(
    own: SourceNames, stage: str, said: _Described, wanted: Embedding, policy: dg.FreshnessPolicy | None
) -> dg.AssetSpec:
    partitions = dg.DynamicPartitionsDefinition(name=own.partitions) if stage in CHUNK_STAGES else None
    return dg.AssetSpec(
        own.default_key(stage),
        description=said.text,
        # What an asset makes has the form of the layout, whatever else a version changes.
        code_version=f"layout-{LAYOUT}",
        group_name=wanted.group_name or own.group,
        kinds=set(said.kinds),
        owners=list(wanted.owners),
        tags={**wanted.tags, names.SOURCE_TAG: own.source},
        metadata={names.STAGE_METADATA: stage},
        partitions_def=partitions,
        skippable=stage in CHUNK_STAGES,
        freshness_policy=policy if stage in FRESH_STAGES else None,
    )


def _translated(spec: dg.AssetSpec, translate: Translation) -> dg.AssetSpec:
    """Return the spec as the host wants it; what its steps yield stays as it is."""
    return translate(spec).replace_attributes(partitions_def=spec.partitions_def, skippable=spec.skippable)


def _refuse_equal_keys(source: str, specs: Mapping[str, dg.AssetSpec]) -> None:
    seen: dict[dg.AssetKey, str] = {}
    for stage, spec in specs.items():
        first = seen.setdefault(spec.key, stage)
        if first != stage:
            raise ValueError(
                f"{first!r} and {stage!r} of source {source!r} would have the same key {spec.key.to_user_string()!r}. Let the "
                "translation give each asset a key of its own, for example one that ends with {{ stage }}, in Python with the "
                "last part of the key that it was given."
            )


def declared(own: SourceNames, stage: str) -> dict[str, Any]:
    """Return what ``dg.asset`` takes to declare the asset of a stage without partitions.

    Args:
        own: the names.
        stage: of the asset.
    """
    spec = own.specs[stage]
    return {
        "key": spec.key,
        "deps": spec.deps,
        "description": spec.description,
        "metadata": spec.metadata,
        "group_name": spec.group_name,
        "code_version": spec.code_version,
        "freshness_policy": spec.freshness_policy,
        "automation_condition": spec.automation_condition,
        "owners": spec.owners,
        "tags": spec.tags,
        "required_resource_keys": own.resources,
        "op_tags": own.op_tags,
    }


def _with_deps(spec: dg.AssetSpec, deps: Iterable[dg.AssetKey]) -> dg.AssetSpec:
    return spec.replace_attributes(deps=[*spec.deps, *(dg.AssetDep(key) for key in deps)])
