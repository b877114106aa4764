"""Everything that the sources of a configuration need, as one ``Definitions``; the pieces are in the modules beside this one.

Nothing here decides for a host project: there is no executor, and all names that a host could have, too, are distinct. What
does not belong here: reading a configuration, and the code location of ``registration.yaml`` (``definitions.py`` above).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg

from registration_pipeline.orchestration.alerts.sensor import build_alert_sensor
from registration_pipeline.orchestration.asset_specs import Embedding, Translation, name_source
from registration_pipeline.orchestration.assets import build_assets
from registration_pipeline.orchestration.automation.continuing import build_continuing_sensor
from registration_pipeline.orchestration.automation.follow_up import build_follow_up_sensor
from registration_pipeline.orchestration.automation.nightly import build_schedule
from registration_pipeline.orchestration.engine_tags import refuse_wrong_tags
from registration_pipeline.orchestration.engines import executor_of
from registration_pipeline.orchestration.jobs import build_jobs
from registration_pipeline.orchestration.names import Around, ConfigurationNames, SourceNames
from registration_pipeline.orchestration.one_place import refuse_second_place
from registration_pipeline.orchestration.resources import ProjectResource
from registration_pipeline.orchestration.runs.stale_runs import build_stale_run_sensor
from registration_pipeline.orchestration.storage.clients import RESOURCE_KEYS
from registration_pipeline.project.project import Project
from registration_pipeline.settings import Settings


def build_definitions(
    settings: Settings,
    *,
    key_prefix: str | Sequence[str] = (),
    group_name: str | None = None,
    owners: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    resources: Mapping[str, Any] | None = None,
    schedules: bool = True,
    translation: Translation | None = None,
    around: Around | None = None,
) -> dg.Definitions:
    """Return the assets, checks, jobs, schedules, sensor and resource of all sources, for a project that has others.

    They merge with those of the host and with those of other configurations: ``dg.Definitions.merge(host, these)``. No
    executor is set. The jobs run in one process, which is faster for what they do; runs of assets that are started by hand or
    by the host use the host's executor.

    Args:
        settings: the configuration, from ``load_settings``.
        key_prefix: what asset keys begin with; jobs, schedules and partition sets as well.
        group_name: the group of all assets; None: each source has a group of its own.
        owners: of all assets: ``team:…`` or an e-mail address.
        tags: of all assets.
        resources: storage resources that list the sources instead of clients made from their ``storage`` settings: ``s3``
            (``dagster_aws.s3.S3Resource``), ``gcs`` (``dagster_gcp.GCSResource``) and ``azure``
            (``dagster_azure.blob.AzureBlobStorageResource``). All that are given are in the result too; a host that has the
            same objects under the same names can merge it. A text is the key of a resource that the host has.
        schedules: whether the nightly schedules are included; they run as soon as the code location is loaded.
        translation: changes what an asset is declared with, for example its key or metadata; events use that key, too.
        around: runs each step: takes its context, source, stage and events, and yields the events. A step does its work while
            its events are read.

    Raises:
        ConfigurationError: the same code location has one of the sources already, with the same state, from another file or
            with another prefix; or Dagster's Kubernetes engine would refuse a tag.
        ValueError: the translation gives two assets one key, or ``resources`` names another kind of storage.
    """
    embedding = Embedding(
        key_prefix=(key_prefix,) if isinstance(key_prefix, str) else tuple(key_prefix),
        group_name=group_name,
        owners=tuple(owners),
        tags=dict(tags or {}),
        translate=translation,
        around=around,
    )
    refuse_second_place(settings, embedding.key_prefix)
    # The assets of two configurations that are merged can't have the same keys, so this name is in one of them only.
    first = SourceNames(min(settings.sources), embedding.key_prefix)
    given = resources or {}
    of_host = {kind: key for kind, key in given.items() if isinstance(key, str)}
    if unknown := of_host.keys() - set(RESOURCE_KEYS):
        raise ValueError(f"resources has the key {min(unknown)!r}; known are {', '.join(RESOURCE_KEYS)}")
    shared = ConfigurationNames(first.ident, of_host)
    own = {key: resource for key, resource in given.items() if key not in of_host}
    return define(settings, shared, embedding, resources=own, has_schedules=schedules)


def define(
    settings: Settings,
    shared: ConfigurationNames,
    embedding: Embedding,
    *,
    resources: Mapping[str, Any],
    has_schedules: bool,
) -> dg.Definitions:
    """Return the definitions of all sources; see ``build_definitions``."""
    refuse_wrong_tags(settings, settings.sources.values())
    storage = {key: resources[key] for key in RESOURCE_KEYS if key in resources}
    sources = [(source, name_source(source, shared, embedding)) for source in settings.sources.values()]
    schedules = [build_schedule(source, own) for source, own in sources] if has_schedules else []
    jobs = [job for source, own in sources for job in build_jobs(source, own, executor_of(settings))]
    return dg.Definitions(
        assets=[asset for source, own in sources for asset in build_assets(source, own)],
        jobs=jobs,
        schedules=[schedule for schedule in schedules if schedule is not None],
        sensors=[
            build_stale_run_sensor(shared, tuple(settings.sources)),
            build_continuing_sensor(partial(Project.of, settings), [own for _, own in sources], shared, jobs),
            build_follow_up_sensor([own for _, own in sources], shared),
            *build_alert_sensor(settings, shared, [own for _, own in sources], has_schedules=has_schedules),
        ],
        resources={**resources, shared.resource: ProjectResource(settings=settings, **storage)},
    )
