"""A process that is a local Encord: ``python -m benchmarks.sandbox_server DATA JOB_SECONDS WORKERS``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.servers import announce, farewell
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox


def main(data: str, job_seconds: str, workers: str) -> None:
    """Serve until standard input is closed, then say what was registered."""
    with Sandbox(SandboxConfig(data=Path(data), job_seconds=float(job_seconds), workers=int(workers))) as sandbox:
        started = time.process_time()
        announce(url=sandbox.url, key_file=str(sandbox.private_key_path), integration=sandbox.integration_uuid())
        work_seconds = time.process_time() - started
        jobs = sandbox.jobs()
        farewell(
            jobs=len(jobs),
            registered=sum(job.done for job in jobs),
            failed=sum(job.failed for job in jobs),
            job_times=[(job.created_at, job.ended_at) for job in jobs],
            polls=sandbox.requests()[Endpoint.POLL_JOB].requests if jobs else 0,
            duplicates=sum(map(len, sandbox.duplicates().values())),
            work_cpu_seconds=work_seconds,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
