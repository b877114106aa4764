"""The sensor ``registration_alerts``, declared. What it does is in ``watch.py``."""

import os
from collections.abc import Sequence

import dagster as dg

from registration_pipeline.orchestration.names import ConfigurationNames, SourceNames
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import Settings

_EVERY_SECONDS = 60


def build_alert_sensor(
    settings: Settings, shared: ConfigurationNames, sources: Sequence[SourceNames], *, has_schedules: bool
) -> list[dg.SensorDefinition]:
    """Return the sensor that reports what no run can report itself; none where ``notify`` has no target.

    Args:
        settings: the configuration.
        shared: the names of what its sources have in common.
        sources: their names.
        has_schedules: whether their schedules are in the code location.
    """
    if not settings.notify:
        return []

    @dg.sensor(
        name=shared.sensor("registration_alerts"),
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends messages of killed and halted runs, of syncs that did not start and of sources that were not "
        "synced for too long, and those again that did not arrive.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from registration_pipeline.orchestration.alerts.watch import Watch

        watch = Watch(
            Project.of(settings, os.environ),
            context.instance,
            sources,
            now=utc_now(),
            warn=context.log.warning,
            has_schedules=has_schedules,
        )
        cursor, sent = watch.evaluate(context.cursor)
        context.update_cursor(cursor)
        return dg.SkipReason(f"Messages sent: {sent}." if sent else "Nothing new.")

    return [alerts]
