"""The demo's two servers in threads of this process: the local S3 server and the sandbox that reads from it.

What does not belong here: the servers themselves (``bucket``, the package ``sandbox``) and what is asked of them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.demo.bucket import HOST, REGION, serve_bucket
from registration_pipeline.demo.configuration import BUCKET
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
        UsageError: a port is taken, or another sandbox runs on the data.
    """
    with serve_bucket(home.bucket, BUCKET, ports.bucket) as bucket:
        credentials = bucket.environment
        store = S3Objects(
            endpoint_url=bucket.endpoint_url,
            region=REGION,
            access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        )
        readers = (store, LocalObjects(root=home.directory))
        config = SandboxConfig(
            data=home.sandbox, host=HOST, port=ports.sandbox, integrations=(Integration(_INTEGRATION, readers),)
        )
        with Sandbox(config) as sandbox:
            yield DemoServers(bucket, sandbox)
