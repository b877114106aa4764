"""The Celery app of workers: ``celery -A registration_pipeline.orchestration.celery.app worker``.

It is Dagster's own tasks with options for runs that take hours. Broker and results are at ``CELERY_BROKER_URL`` and
``CELERY_RESULT_BACKEND``, which Celery reads itself. What does not belong here: starting runs (``launcher.py``).
"""

import multiprocessing

from celery.signals import worker_process_init
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task, create_task

from registration_pipeline.orchestration.celery.options import OPTIONS

app = make_app()  # type: ignore[no-untyped-call]
app.conf.update(OPTIONS)
# A process for each run, as Dagster's own launcher has it: nothing of a run is left to the next.
app.conf.worker_max_tasks_per_child = 1

execute_plan = create_task(app)  # type: ignore[no-untyped-call]
execute_job = create_execute_job_task(app)
resume_job = create_resume_job_task(app)


@worker_process_init.connect
def _may_have_children(**_: object) -> None:
    """Let a run start processes: headers of media are read in some. Celery's are daemonic, which may have none."""
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # noqa: SLF001
