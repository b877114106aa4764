"""The demo's ``registration.yaml`` and ``workspace.yaml``, and the ports that are written in them.

What does not belong here: environment variables (``environment``), files of the sources (``layout``).
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from registration_pipeline.demo.bucket import HOST, REGION
from registration_pipeline.demo.labels import PREFIX, WEATHERS
from registration_pipeline.demo.layout import EXCLUDE_RULE
from registration_pipeline.errors import ConfigurationError, UsageError
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from registration_pipeline.demo.home import DemoHome

BUCKET: Final = "demo-bucket"
BUCKET_SOURCE: Final = "demo-bucket"
DATASET_ITEMS: Final = 200
"""Of one dataset: the bucket fills more than one."""
DIRECTORY_SOURCE: Final = "demo-directory"
CHUNK_SIZES: Mapping[str, int] = {"images": 20, "videos": 5, "audio": 20, "pdfs": 20, "text": 20, "nifti": 20}

_BUCKET_PORT = 8741
_SANDBOX_PORT = 8742
_PORTS_TRIED = 200
_LARGEST_PORT = 65_535

_WORKSPACE = """\
# For `dagster dev -w workspace.yaml`, with the environment of env.sh.
load_from:
  - python_module:
      module_name: registration_pipeline.definitions
      location_name: registration_pipeline
"""

_CONFIGURATION = """\
# Two sources of generated media: a bucket on a local S3 server, and a local directory.
# The ports stay as they are: object URLs hold the one of the S3 server, and a registered URL never changes.
# Chunks are small, so that there is something to see.
# labels.csv and parts of each key become client metadata, and parts of each file are read for its media metadata.
state: ./state
encord:
  domain: {domain}
sources:
  {bucket_source}:
    uri: s3://{bucket}/
    storage:
      region: {region}
      endpoint_url: {endpoint}
    exclude: ["{exclude}"]
    encord: {{folder: {bucket_source}, integration: sandbox}}
    chunk_size: {sizes}
    settle_seconds: 2
    schedule: "0 2 * * *"
    metadata:
      - {{pattern: '^/?(?P<folder>[^/]+)/', prefix: "{prefix}"}}
      - {{pattern: '^camera-(?P<camera>\\d+)/', prefix: "{prefix}"}}
      - {{table: labels.csv, key: object, prefix: "{prefix}"}}
    metadata_schema:
      {prefix}folder: varchar
      {prefix}camera: varchar
      {prefix}weather: {{enum: [{weathers}]}}
      {prefix}speed: number
    upsert_metadata: true
    media_metadata: probe
    dataset: {{title: {bucket_source}, max_items: {most_items}}}
  {directory_source}:
    uri: {directory}
    exclude: ["{exclude}"]
    encord: {{folder: {directory_source}, integration: sandbox}}
    chunk_size: {sizes}
    settle_seconds: 2
    schedule: "0 2 * * *"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPorts:
    """The ports of the demo's servers, on the loopback interface."""

    bucket: int
    sandbox: int

    @property
    def endpoint_url(self) -> str:
        """Address of the local S3 server."""
        return f"http://{HOST}:{self.bucket}"

    @property
    def domain(self) -> str:
        """Address of the sandbox."""
        return f"http://{HOST}:{self.sandbox}"


def configured_ports(home: DemoHome) -> DemoPorts:
    """Return the ports that a demo's registration.yaml names.

    Raises:
        ConfigurationError: the file is wrong, or it is not a demo's any more.
    """
    settings = load_settings(home.config, {})
    source = settings.sources.get(BUCKET_SOURCE)
    endpoint = source.storage.endpoint_url if source else None
    bucket, sandbox = urlsplit(endpoint or "").port, urlsplit(settings.encord.domain).port
    if bucket is None or sandbox is None:
        problem = (
            f"the demo's servers need the ports in encord.domain and in sources.{BUCKET_SOURCE}.storage.endpoint_url; "
            "write them back, or run `registration-pipeline demo` again to start over"
        )
        raise ConfigurationError(problem, file=str(home.config))
    return DemoPorts(bucket=bucket, sandbox=sandbox)


def require_free(home: DemoHome, ports: DemoPorts) -> None:
    """Make sure that no other process listens where the demo's servers must.

    Raises:
        UsageError: one does.
    """
    for port, what in ((ports.bucket, "S3 server"), (ports.sandbox, "sandbox")):
        if not is_free(port):
            message = (
                f"Port {port}, where the demo's {what} must listen, is in use. {home.config} names it, because object "
                f"URLs hold it. End the program that uses it: perhaps `registration-pipeline demo` runs on {home.folder} "
                "already. Or name another folder with --dir: a new demo uses free ports."
            )
            raise UsageError(message)


def kept_ports(home: DemoHome) -> DemoPorts | None:
    """Return the ports of the demo that was in the folder before; None when there was none, or its file can't be read.

    Raises:
        UsageError: they are in use, so its servers may be running.
    """
    try:
        ports = configured_ports(home)
    except ConfigurationError:
        return None
    require_free(home, ports)
    return ports


def free_ports() -> DemoPorts:
    """Return ports for a new demo."""
    bucket = free_port(_BUCKET_PORT)
    return DemoPorts(bucket=bucket, sandbox=free_port(_SANDBOX_PORT, besides={bucket}))


def free_port(wanted: int, *, besides: Collection[int] = ()) -> int:
    """Return the first free port from ``wanted`` upwards.

    Raises:
        UsageError: none of the next two hundred is free.
    """
    for port in range(wanted, min(wanted + _PORTS_TRIED, _LARGEST_PORT + 1)):
        if port not in besides and is_free(port):
            return port
    raise UsageError(f"No port from {wanted} upwards is free on {HOST}. End some of the programs that listen there.")


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port of the loopback interface now."""
    try:
        with socket.create_server((HOST, port)):
            return True
    except OSError:
        return False


def write_configuration(home: DemoHome, ports: DemoPorts) -> None:
    """Write registration.yaml and workspace.yaml."""
    text = _CONFIGURATION.format(
        domain=ports.domain,
        endpoint=ports.endpoint_url,
        region=REGION,
        bucket=BUCKET,
        bucket_source=BUCKET_SOURCE,
        directory_source=DIRECTORY_SOURCE,
        directory=json.dumps(f"{home.directory.as_uri()}/"),  # a JSON string is a YAML string too, whatever is in it
        exclude=EXCLUDE_RULE,
        prefix=PREFIX,
        most_items=DATASET_ITEMS,
        weathers=", ".join(WEATHERS),
        sizes="{" + ", ".join(f"{kind}: {size}" for kind, size in CHUNK_SIZES.items()) + "}",
    )
    home.config.write_text(text, encoding="utf-8")
    home.workspace.write_text(_WORKSPACE, encoding="utf-8")
