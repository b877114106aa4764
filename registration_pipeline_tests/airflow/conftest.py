"""What the tests with a real Airflow need; ``make test-airflow`` runs them, and no other target sees them."""

from __future__ import annotations

import os

collect_ignore_glob = [] if "AIRFLOW_PYTHON" in os.environ else ["*"]
