"""Runs the example's DAG in Airflow's environment, once for each line on standard input, and prints what became of its tasks.

A line is a JSON object: ``config``, ``params`` and ``environ``, which is set for this run.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from datetime import timedelta
from typing import Any

spec = importlib.util.spec_from_file_location("registration", sys.argv[1])
assert spec is not None
assert spec.loader is not None
module: Any = importlib.util.module_from_spec(spec)
sys.modules["registration"] = module
spec.loader.exec_module(module)


def results(run: Any) -> dict[str, Any]:
    """The state of each task, how often it was tried, and what it returned."""
    return {
        task.task_id: {"state": str(task.state), "tries": task.try_number, "returned": task.xcom_pull(task.task_id)}
        for task in run.get_task_instances()
    }


for line in sys.stdin:
    wanted = json.loads(line)
    os.environ.update(wanted["environ"])
    module.CONFIG = wanted["config"]
    dag = module.make_dag("fleet-cameras", None)
    for task in dag.tasks:  # as often as in the example would be an hour
        task.retries, task.retry_delay, task.retry_exponential_backoff = 1, timedelta(0), False
    run = dag.test(run_conf=wanted["params"])
    print("RESULT " + json.dumps({"run": str(run.state), "tasks": results(run)}), flush=True)
