"""What a source's things are called in Dagster. Only names belong here; what assets show beside them is in ``asset_specs.py``.

Dagster allows hyphens in asset keys, pools and partition sets, and not in groups, ops, jobs, schedules and checks. Source
names have no underscore, so replacing hyphens by underscores can't make two sources collide.

Names are made once for each source, where definitions are built, and handed on: a second set would lack
the prefix, and the keys that a host project gave.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

CODE_LOCATION = "registration_pipeline"
DEFINITIONS_MODULE = "registration_pipeline.definitions"
SUBMIT_STEP = "submit_chunks"
"""The step that makes and registers chunks of a source as assets, behind the source's ident."""

REGISTER_OP = "register_chunks"
"""The step of a job that registers chunks, likewise."""

LIST_STEP = "take_inventory"
"""The step of a sync that lists the bucket, likewise."""

BEGIN_STEP = "begin_inventory"
"""The step of a run that fixes the key ranges of a source, likewise."""

SOURCE_TAG = "registration/source"
STAGE_METADATA = "registration/stage"

INVENTORY_COMPLETE = "inventory_complete"
INVENTORY_NOT_EMPTIED = "inventory_not_emptied"
EVERY_OBJECT_ACCOUNTED = "every_object_accounted_for"
EVERY_OBJECT_HAS_METADATA = "every_object_has_metadata"
METADATA_MATCHES_SCHEMA = "metadata_matches_schema"
MANIFESTS_VALID = "manifests_valid"
NO_FAILED_CHUNKS = "no_failed_chunks"
DATASET_COMPLETE = "dataset_complete"
AUDIT_CLEAN = "audit_clean"

_SUBMISSION, _LISTING = "encord_submission", "listing"
_USES = {_SUBMISSION: "submitted", _LISTING: "listed or planned"}

Around = Callable[[Any, str, str, Iterator[Any]], Iterator[Any]]
"""Takes the context of a step, its source, its stage and the events that it yields; yields those. The step does its work while
its events are read."""


@dataclass(frozen=True)
class ConfigurationNames:
    """The names of what the sources of one configuration have in common.

    Args:
        ident: what distinguishes this configuration from others that are merged with it into one code location; empty where
            there are no others.
        storage: the host's resources that list the sources, by kind: ``s3``, ``gcs``, ``azure``.
    """

    ident: str = ""
    storage: Mapping[str, str] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """The resource that carries the configuration."""
        return self._distinct("registration_project")

    def sensor(self, name: str) -> str:
        """Return the name of a sensor that works for all sources."""
        return self._distinct(name)

    def _distinct(self, name: str) -> str:
        return f"{name}_{self.ident}" if self.ident else name


@dataclass(frozen=True)
class SourceNames:
    """The names of one source.

    Args:
        source: its name.
        key_prefix: what asset keys, jobs and partitions begin with in a host project.
        shared: the names of what its configuration has once.
        specs: what its assets are declared with, by stage; a key given there wins. ``asset_specs.py`` makes them.
        around: runs each step of the source, for a host that has something to do before or after; None: nothing.
        extra_run_tags: the source's ``run_tags``.
        op_tags: the tags of all its steps.
    """

    source: str
    key_prefix: tuple[str, ...] = ()
    shared: ConfigurationNames = ConfigurationNames()
    specs: Mapping[str, dg.AssetSpec] = field(default_factory=dict, compare=False, repr=False)
    around: Around | None = field(default=None, compare=False, repr=False)
    extra_run_tags: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    op_tags: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def run_tags(self) -> dict[str, str]:
        """The tags of all runs of the source; what finds them again wins."""
        return {**self.extra_run_tags, SOURCE_TAG: self.source}

    @property
    def ident(self) -> str:
        """The source's name where hyphens are not allowed, with the prefix: what ops and jobs begin with."""
        return "_".join([*(re.sub(r"\W", "_", part) for part in self.key_prefix), self.group])

    @property
    def group(self) -> str:
        """The asset group that the source has unless a host gives another."""
        return self.source.replace("-", "_")

    @property
    def resource(self) -> str:
        """The resource that carries the configuration of the source."""
        return self.shared.resource

    @property
    def resources(self) -> set[str]:
        """What every step of the source requires."""
        return {self.shared.resource, *self.shared.storage.values()}

    def has_step(self, step: str) -> bool:
        """Return whether a step of a run may be for the source: ops begin with its name, assets have the name of their key."""
        return step.startswith(f"{self.ident}_") or any(
            step == spec.key.to_python_identifier() for spec in self.specs.values()
        )

    def default_key(self, stage: str) -> dg.AssetKey:
        """Return the key that a stage's asset has unless a host gives another."""
        return dg.AssetKey([*self.key_prefix, self.source, stage])

    def _key(self, stage: str) -> dg.AssetKey:
        spec = self.specs.get(stage)
        return self.default_key(stage) if spec is None else spec.key

    @property
    def inventory(self) -> dg.AssetKey:
        """The asset that lists the bucket."""
        return self._key("inventory")

    def facts(self, name: str) -> dg.AssetKey:
        """Return the asset of a set of facts, e.g. ``headers``, of sources that ask for it."""
        return self._key(name)

    @property
    def chunk_plan(self) -> dg.AssetKey:
        """The asset that makes chunks of new objects."""
        return self._key("chunk_plan")

    @property
    def manifest(self) -> dg.AssetKey:
        """The asset of which every chunk is a partition: its manifest."""
        return self._key("manifest")

    @property
    def registration(self) -> dg.AssetKey:
        """The asset of which every chunk is a partition: its objects in Encord."""
        return self._key("registration")

    @property
    def metadata_upserts(self) -> dg.AssetKey:
        """The asset that sends metadata again that has changed, of sources with ``upsert_metadata``."""
        return self._key("metadata_upserts")

    @property
    def dataset(self) -> dg.AssetKey:
        """The asset that links what is registered to a dataset, of sources that have one."""
        return self._key("dataset")

    @property
    def failure_log(self) -> dg.AssetKey:
        """The asset that lists what is not registered."""
        return self._key("failure_log")

    @property
    def audit(self) -> dg.AssetKey:
        """The asset that is the last audit."""
        return self._key("audit")

    @property
    def partitions(self) -> str:
        """The dynamic partitions: chunk ids."""
        return "/".join([*self.key_prefix, self.source, "chunks"])

    @property
    def pool(self) -> str:
        """The pool that lets one run at a time submit for this source; within it, ``max_in_flight`` rules."""
        return f"{_SUBMISSION}/{self.source}"

    @property
    def listing_pool(self) -> str:
        """The pool that lets one run at a time list, read headers or plan: an inventory clears away what another left."""
        return f"{_LISTING}/{self.source}"

    @property
    def pools(self) -> tuple[str, str]:
        """All pools of the source."""
        return self.pool, self.listing_pool

    @property
    def sync_job(self) -> str:
        """Inventory to failure log in one run."""
        return f"{self.ident}_sync"

    @property
    def nightly_job(self) -> str:
        """The same run as the schedule starts it: it names its assets, so that their pages show the schedule."""
        return f"{self.ident}_nightly_sync"

    @property
    def sync_jobs(self) -> tuple[str, str]:
        """The jobs whose runs are a sync: started by hand or a command, and by the schedule."""
        return self.sync_job, self.nightly_job

    @property
    def submit_job(self) -> str:
        """Registration of chunks that are due or named."""
        return f"{self.ident}_submit"

    @property
    def retry_job(self) -> str:
        """Registration of everything that failed, in one run."""
        return f"{self.ident}_retry_failed"

    @property
    def inventory_job(self) -> str:
        """The inventory alone."""
        return f"{self.ident}_inventory"

    @property
    def probe_job(self) -> str:
        """Reading headers alone."""
        return f"{self.ident}_probe"

    @property
    def plan_job(self) -> str:
        """The plan alone."""
        return f"{self.ident}_plan"

    @property
    def audit_job(self) -> str:
        """The comparison of bucket, ledger and Encord."""
        return f"{self.ident}_audit"

    @property
    def schedule(self) -> str:
        """The nightly sync."""
        return f"{self.ident}_nightly"


def source_of_pool(pool: str) -> tuple[str, str] | None:
    """Parse one of our pool names into source and activity; None if it is not ours."""
    kind, _, source = pool.partition("/")
    return (source, _USES[kind]) if kind in _USES and source else None
