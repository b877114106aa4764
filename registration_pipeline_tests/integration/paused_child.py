"""Registers everything that is planned in a state under the source's lease, as one process that a test pauses. Not a test.

Arguments: folder of the state, URL of Encord, file of the key, seconds of the lease. Ends with 4 when it was
halted, e.g. because it has lost the lease.
"""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from registration_pipeline.errors import HaltError
from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.lease import hold_lease
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.context import SubmissionContext
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.submission.registrar import register_chunks
from registration_pipeline.submission.target import resolve_target
from registration_pipeline.tracking.due import ChunkTask


def now() -> datetime:
    return datetime.now(UTC)


def register(store: LocalStateStore, gateway: EncordGateway, lease_seconds: float) -> None:
    """Register what is planned, as ``Project.register`` does."""
    encord = {"integration": "sandbox", "folder": "fleet"}
    base = {"name": "fleet", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}, "encord": encord}
    source = SourceSettings.model_validate(base)
    retry, stop = RetryPolicy(cap_seconds=0.2), threading.Event()
    with hold_lease(store, "fleet", clock=now, notify=lambda _: None, stop=stop, lease_seconds=lease_seconds) as lease:
        context = SubmissionContext(
            store=store,
            source="fleet",
            gateway=gateway,
            target=resolve_target(gateway, retry, source),
            retry=retry,
            stop=stop,
            may_send=lease.check,
            settle_seconds=0.5,
        )
        for _ in register_chunks(context, [ChunkTask(chunk=chunk) for chunk in load_chunks(store, "fleet").values()]):
            pass


def main(root: str, domain: str, key_file: str, lease_seconds: str) -> int:
    gateway = EncordGateway(ssh_private_key=Path(key_file).read_text(encoding="utf-8"), domain=domain)
    try:
        register(LocalStateStore(Path(root)), gateway, float(lease_seconds))
    except HaltError as error:
        sys.stdout.write(f"{error}\n")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
