"""The demo's two servers in threads of this process: the local S3 server and the sandbox that reads from it.

What does not belong here: the servers themselves (``bucket``, the package ``sandbox``) and what is asked of them.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.demo.bucket import HOST, REGION, serve_bucket
from registration_pipeline.demo.configuration import BUCKET
from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.config import Integration, LocalObjects, S3Objects, SandboxConfig
from registration_pipeline.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.demo.bucket import BucketServer
    from registration_pipeline.demo.configuration import DemoPorts
    from registration_pipeline.demo.home import DemoHome

_INTEGRATION = "sandbox"


@dataclass(frozen=True, slots=True)
class DemoServers:
    """Both servers, running."""

    bucket: BucketServer
    sandbox: Sandbox


@contextmanager
def serving(home: DemoHome, ports: DemoPorts) -> Iterator[DemoServers]:
    """Run the S3 server, filled from the demo's folder, and the sandbox on its data, until the block ends.

    The sandbox opens every object that is registered, in the bucket as in the directory, so it refuses broken ones by itself.

    Raises:
        UsageError: a port is in use, or another sandbox runs on the data.
    """
    with ExitStack() as stack:
        # Filling the bucket takes seconds, in which no other process may bind the other port.
        held = stack.enter_context(_held(ports.sandbox))
        bucket = stack.enter_context(serve_bucket(home.bucket, BUCKET, ports.bucket))
        credentials = bucket.environment
        store = S3Objects(
            endpoint_url=bucket.endpoint_url,
            region=REGION,
            access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        )
        readers = (store, LocalObjects(root=home.directory))
        config = SandboxConfig(
            data=home.sandbox,
            host=HOST,
            port=ports.sandbox,
            admin_port=0,
            integrations=(Integration(_INTEGRATION, readers),),
        )
        held.close()
        yield DemoServers(bucket, stack.enter_context(Sandbox(config)))


def _held(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        message = f"The sandbox can't listen on {HOST}:{port} ({error.strerror}). End the program that uses the port."
        raise UsageError(message) from error
