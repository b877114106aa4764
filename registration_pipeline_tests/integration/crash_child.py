"""Registers everything that is planned in a state, as one process that a test kills. Not a test itself.

Arguments: folder of the state, URL of the sandbox, file of the key, and optionally where the process kills itself:
``start`` after the nth start reached Encord, or a part of a state file's name, before or after it is written.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.calls.slots import Slots
from registration_pipeline.submission.context import SubmissionContext
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.submission.registrar import register_chunks
from registration_pipeline.submission.target import resolve_target
from registration_pipeline.tracking.due import ChunkTask


class Countdown:
    """Kills this process at the nth tick."""

    def __init__(self, number: int) -> None:
        self._left, self._lock = number, threading.Lock()

    def tick(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class KilledAtStart(EncordGateway):
    """Dies when Encord has taken a manifest and no one has written the job's id down."""

    countdown: Countdown

    def start_job(self, **arguments: Any) -> str:
        job_id = super().start_job(**arguments)
        self.countdown.tick()
        return job_id


class KilledAtWrite(LocalStateStore):
    """Dies before or after a file with ``part`` in its name is there."""

    countdown: Countdown
    moment: str
    part: str

    def create(self, name: str, data: bytes) -> None:
        if self.moment == "before" and self.part in name:
            self.countdown.tick()
        super().create(name, data)
        if self.moment == "after" and self.part in name:
            self.countdown.tick()


def main(root: str, domain: str, key_file: str, *kill: str) -> None:
    moment, part, number = kill or ("never", "", "1")
    store = KilledAtWrite(Path(root))
    store.countdown, store.moment, store.part = Countdown(int(number)), moment, part
    gateway_class = KilledAtStart if moment == "start" else EncordGateway
    gateway = gateway_class(ssh_private_key=Path(key_file).read_text(encoding="utf-8"), domain=domain)
    if isinstance(gateway, KilledAtStart):
        gateway.countdown = Countdown(int(number))
    source = SourceSettings.model_validate(
        {
            "name": "fleet",
            "uri": "s3://bucket/raw/",
            "storage": {"region": "eu-west-2"},
            "encord": {"integration": "sandbox", "folder": "fleet"},
        }
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    retry = RetryPolicy(cap_seconds=0.2)
    target = resolve_target(gateway, retry, source)
    context = SubmissionContext(
        store=store, source="fleet", gateway=gateway, target=target, retry=retry, slots=Slots(2), settle_seconds=1
    )
    tasks = [ChunkTask(chunk=chunk) for chunk in load_chunks(store, "fleet").values()]
    for _ in register_chunks(context, tasks):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
