"""A project to benchmark: a folder with ``registration.yaml``, and the environment that its commands need.

Also the stage that prepares its state from synthetic objects, so that a benchmark can begin where its own stage does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.synthetic import SyntheticLister

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Stopwatch
    from benchmarks.servers import Server

SOURCE = "bench"
STATE = "state"
S3_URI = "s3://benchmark/"
_CONFIGURATION = """\
state: ./{state}
sources:
  {source}:
    uri: {uri}
    storage: {{region: eu-west-2, concurrency: {concurrency}{endpoint}}}
    encord: {{integration: sandbox}}
    chunk_size: {{images: {chunk_size}}}
    max_in_flight: {max_in_flight}
    schedule: null
"""


def write_configuration(
    folder: Path,
    *,
    uri: str = S3_URI,
    endpoint_url: str | None = None,
    chunk_size: int = 1000,
    max_in_flight: int = 4,
    concurrency: int = 16,
) -> Path:
    """Write ``registration.yaml`` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    endpoint = f", endpoint_url: {endpoint_url}" if endpoint_url else ""
    path = folder / "registration.yaml"
    text = _CONFIGURATION.format(
        state=STATE,
        source=SOURCE,
        uri=uri,
        endpoint=endpoint,
        chunk_size=chunk_size,
        max_in_flight=max_in_flight,
        concurrency=concurrency,
    )
    path.write_text(text, encoding="utf-8")
    return path


def environment(config: Path, sandbox: Server | None = None) -> dict[str, str]:
    """Return what the pipeline reads from the environment; the local S3 server takes any credentials."""
    values = {
        "REGISTRATION_CONFIG": str(config),
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
    }
    if sandbox is not None:
        values |= {"ENCORD_DOMAIN": sandbox.facts["url"], "ENCORD_SSH_KEY_FILE": sandbox.facts["key_file"]}
    return values


def load_project() -> tuple[Any, Any]:
    """Return the project of ``REGISTRATION_CONFIG`` and its source. Inside a stage only."""
    from registration_pipeline.project.project import Project

    project = Project.load()
    return project, project.source(SOURCE)


def prepare(watch: Stopwatch, *, objects: int, plan: bool) -> None:
    """Stage: make an inventory of synthetic objects, and plan it if asked to."""
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.project.project import utc_now

    project, source = load_project()
    with watch:
        take_inventory(lister=SyntheticLister(objects), store=project.store, source=SOURCE, clock=utc_now)
        if plan:
            project.plan(source)
