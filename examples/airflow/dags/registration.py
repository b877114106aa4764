"""A DAG for Airflow 3 per source: check, inventory, plan, submission and failure log through the Python API of the pipeline.

The stages run in the environment that registration-pipeline is installed in, not in Airflow's (``ExternalPythonOperator``): so
Airflow keeps its own versions of what both need. See docs/airflow.md.
"""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import pairwise
from typing import Any

from airflow.providers.standard.operators.python import ExternalPythonOperator
from airflow.sdk import DAG, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException

PYTHON = os.environ.get("REGISTRATION_PYTHON", "/opt/registration-pipeline/bin/python")
CONFIG = os.environ.get("REGISTRATION_CONFIG", "/etc/registration/registration.yaml")
SOURCES = {"fleet-cameras": "0 2 * * *"}
"""The sources of registration.yaml that Airflow syncs, each with its cron. Set ``schedule: null`` there, so that Dagster does
not sync them, too."""

DONE, DONE_WITH_FAILURES, HALTED = 0, 3, 4


def run_stage(stage, config, source, failed=False, chunks=()):  # noqa: ANN001, ANN201, FBT002 - runs elsewhere, as a text
    """Run one stage in the pipeline's environment, and return its exit status with what Airflow shows. Plain values only."""
    import logging
    import sys

    from registration_pipeline.errors import RegistrationPipelineError
    from registration_pipeline.pipeline import Pipeline

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
    try:
        pipeline = Pipeline.load(config)
        if stage == "check":
            checked = pipeline.check(source)
            message = "\n".join(str(error) for error in checked.errors)
            return {"exit_status": checked.exit_status, "message": message}
        if stage == "inventory":
            listed = pipeline.inventory(source)
            return {"exit_status": 0, "inventory_id": listed.inventory_id, "objects": listed.objects}
        if stage == "plan":
            planned = pipeline.plan(source)
            return {"exit_status": 0, "wave_id": planned.wave_id, "new_objects": planned.counts.new}
        if stage == "submit":
            # The last task writes the failure log.
            done = pipeline.submit(source, list(chunks) or None, failed=failed)
            lost = [f"{one.chunk_id}: {dict(one.reasons)}" for one in done.failed_chunks[:10]]
            status = done.status
            return {
                "exit_status": done.exit_status,
                "message": f"{status.failed:,} objects failed and {status.rejected:,} were rejected. {'; '.join(lost)}",
                "registered_objects": done.registered_objects,
                "failed_chunks": [one.chunk_id for one in done.failed_chunks[:1000]],
            }
        log = pipeline.write_failure_log(source)
        return {"exit_status": 0, "objects": log.objects, "rows_by_reason": dict(log.rows_by_reason), "csv": log.csv}
    except RegistrationPipelineError as error:
        return {"exit_status": error.exit_status, "message": str(error)}


class StageOperator(ExternalPythonOperator):
    """Runs a stage, and makes of its exit status the state of the task.

    0: success. 3 (some objects failed or were rejected) and 2 (usage or configuration): failed, and not retried, because the
    same would come of it. 4 (halted: the service, the store or a permission) and a crash: retried, then failed.
    """

    def execute(self, context: Any) -> Any:
        """Run it. What it returned is in XCom whatever the state is."""
        result = super().execute(context)
        status = result["exit_status"]
        if status == DONE:
            return result
        context["ti"].xcom_push(key="return_value", value=result)
        said = f"exit status {status}: {result.get('message', '')}"
        raise AirflowException(said) if status == HALTED else AirflowFailException(said)


def make_dag(source: str, schedule: str | None) -> DAG:
    """Return the DAG of one source. Only one run at a time: a source has one writer, and a second run would wait for it."""
    with DAG(
        dag_id=f"registration-{source}",
        schedule=schedule,
        catchup=False,
        max_active_runs=1,
        tags=["encord", "registration"],
        render_template_as_native_obj=True,
        default_args={"retries": 3, "retry_delay": timedelta(minutes=5), "retry_exponential_backoff": True},
        params={
            "failed": Param(False, type="boolean", description="Retry the chunks with failures, too."),
            "chunks": Param([], type="array", description="Only these chunks; those with failures are retried."),
        },
    ) as dag:
        stages = [
            StageOperator(
                task_id=stage,
                python=PYTHON,
                python_callable=run_stage,
                op_kwargs={"stage": stage, "config": CONFIG, "source": source, **more},
                expect_airflow=False,
            )
            for stage, more in (
                ("check", {}),
                ("inventory", {}),
                ("plan", {}),
                ("submit", {"failed": "{{ params.failed }}", "chunks": "{{ params.chunks }}"}),
                ("failure_log", {}),
            )
        ]
        for before, after in pairwise(stages):
            before >> after
        # A teardown runs whatever became of the others, and the state of the run is that of the submission: as a last task of
        # the ordinary kind, a log that was written would make a run green whose objects were refused.
        stages[-1].as_teardown()
    return dag


for name, cron in SOURCES.items():
    globals()[f"registration_{name}".replace("-", "_")] = make_dag(name, cron)
