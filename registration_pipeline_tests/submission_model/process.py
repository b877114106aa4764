"""A process that registers, run one act at a time: what the others do between any two of its acts is up to the test.

What belongs here: stepping, killing and what a process sees of its state, its Encord and its clock. What it does is the
product's own code.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from registration_pipeline.errors import HaltError, StateError
from registration_pipeline.state.lease import hold_lease
from registration_pipeline.submission import registrar
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.calls.slots import Slots
from registration_pipeline.submission.prior_items import PriorItemsFinder, was_sent_to
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.urls import object_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from registration_pipeline.state.lease import Lease
    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.submission.gateway import ItemPage, JobReport, RemoteItem
    from registration_pipeline.submission.prior_items import PriorItems
    from registration_pipeline.tracking.due import ChunkTask
    from registration_pipeline_tests.submission_model.world import World

_Answer = TypeVar("_Answer")
_LEASE_SECONDS = 60.0


class Killed(BaseException):
    """The process ends here."""


class Process:
    """Brings chunks to their verdicts; stands still before every act until it is stepped.

    Args:
        world: what it shares with all others.
        choose: which chunks it takes on; asked at its beginning.
    """

    def __init__(self, world: World, choose: Callable[[], list[ChunkTask]]) -> None:
        self.world, self.choose = world, choose
        self.at, self.acts = "its beginning", 0
        self.is_killed = self.is_frozen = self.has_ended = False
        self.halt: HaltError | StateError | None = None
        self.failure: BaseException | None = None
        self.lease: Lease | None = None
        self.renewed = 0.0
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name="process", daemon=True)
        self._thread.start()
        self._stands.acquire()

    @property
    def act(self) -> str:
        """Return what it stands before, without names of chunks."""
        if not self.at.startswith("write "):
            return self.at
        _, folder, *_, base = self.at.split("/")
        return base.removesuffix(".json").split("-")[-1] if folder == "journal" else folder

    def step(self) -> None:
        """Let it do what it stands before, and go on to its next act or its end."""
        if self.has_ended:
            return
        self._go.release()
        self._stands.acquire()
        if self.has_ended:
            self._thread.join()
        if self.failure is not None:
            raise self.failure

    def go_until(self, act: str) -> None:
        """Let it go on until it stands before an act of this name."""
        for _ in range(200):
            if self.act == act:
                return
            self.step()
        raise AssertionError(f"it never came to {act}, but to {self.act}")

    def kill(self) -> None:
        """End it where it stands; nothing that it does after that reaches anybody."""
        self.is_killed = True
        while not self.has_ended:
            self.step()

    def pause(self, at: str) -> None:
        """Stand still before an act."""
        if not self.is_killed:
            self.at = at
            self.acts += 1
            self._stands.release()
            self._go.acquire()
        if self.is_killed:
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Wait as the product asks to."""
        self.pause("sleep")
        self.world.pass_time(seconds)

    def renew(self, now: float) -> None:
        """Give a sign of life if it is time to; the real thread does it four times per lease."""
        is_due = now - self.renewed >= _LEASE_SECONDS / 4
        if self.lease is not None and is_due and not (self.is_frozen or self.is_killed or self.has_ended):
            self.renewed = now
            self.lease.renew()

    def may_send(self) -> None:
        """Make the check in the last moment of a start; between the two nothing can happen."""
        self.pause("start")
        if self.lease is not None:
            self.lease.check()

    def _run(self) -> None:
        try:
            self.pause("its beginning")
            self._register()
        except Killed:
            pass
        except HaltError as error:
            self.halt = error
        except StateError as error:
            self.halt, self.failure = error, None if type(error) is StateError else error
        except BaseException as error:  # noqa: BLE001 - raised by the step that met it
            self.failure = error
        self.lease = None
        self.has_ended = True
        self._stands.release()

    def _register(self) -> None:
        world, variant = self.world, self.world.variant
        tasks = self.choose()
        # Older than what the product goes by, which reads it again if another process had the lease since.
        known = {*Journal(world.store, world.fleet.source.name).chunk_ids()}
        self.pause("its lease")
        with self._lease() as self.lease:
            context = world.fleet.context(
                store=variant.store(ProcessStore(self, world.store)),
                gateway=variant.gateway(ProcessGateway(self)),
                retry=RetryPolicy(sleep=self.sleep, jitter=lambda _low, high: high),
                sleep=self.sleep,
                may_send=self.may_send,
                untouched=lambda chunk_id: chunk_id not in known,
                slots=Slots(1),
                ahead=0,  # one thread, so that what happens when is decided by the test alone
                settle_seconds=variant.settle_seconds,
                notify=world.tell,
                slow_poll_seconds=10,
                job_timeout_seconds=600,
                job_warning_seconds=50,
            )
            context = replace(context, prior=self._prior_items(context))
            for result in registrar.register_chunks(context, tasks):
                world.results.append(result)

    def _prior_items(self, context: SubmissionContext) -> PriorItems | None:
        return PriorItemsFinder(
            store=context.store,
            source=context.source,
            target=context.target,
            url_prefix=object_url(self.world.fleet.source, ""),
            gateway=context.gateway,
            retry=context.retry,
            has_sent=lambda: was_sent_to(context.target.folder_uuid, context.journal.fold_all()),
            notify=context.notify,
        ).find()

    def _lease(self) -> Any:
        if not self.world.variant.is_leased:
            return nullcontext()
        self.renewed = self.world.fleet.time.monotonic()
        return hold_lease(
            LeaseStore(self, self.world.store),
            self.world.fleet.source.name,
            clock=self.world.fleet.time.clock,
            notify=self.world.tell,
            stop=threading.Event(),
            monotonic=self.world.fleet.time.monotonic,
            sleep=self.sleep,
            lease_seconds=_LEASE_SECONDS,
        )


class LeaseStore:
    """The state as the lease sees it: gone when the process was killed."""

    def __init__(self, process: Process, inner: Any) -> None:
        self.process, self.inner = process, inner

    def __getattr__(self, name: str) -> Any:
        if self.process.is_killed:
            raise Killed
        return getattr(self.inner, name)


class ProcessStore(LeaseStore):
    """The state as a process sees it: it stands still before it writes, and a write may fail, or only its answer."""

    def create(self, name: str, data: bytes) -> None:
        self._write(name, lambda: self.inner.create(name, data))

    def create_from_file(self, name: str, path: Path) -> None:
        self._write(name, lambda: self.inner.create_from_file(name, path))

    def _write(self, name: str, write: Callable[[], None]) -> None:
        self.process.pause(f"write {name}")
        faults = self.process.world.write_faults
        fault = faults.pop(0) if faults else "none"
        if fault != "none":
            self.process.world.seen.add(f"write: {fault}")
        if fault == "full":
            raise StateError("no space left")
        write()
        if fault == "answer lost":
            raise StateError("the answer was lost")


class ProcessGateway:
    """Encord as a process sees it: it stands still before it asks, and nothing may be started after a halt."""

    def __init__(self, process: Process) -> None:
        self.process, self.world, self.inner = process, process.world, process.world.encord
        self._is_halted = False

    def start_job(
        self,
        *,
        folder_uuid: str,
        integration_uuid: str | None,
        manifest: Path,
        data_items: dict[str, Any] | None = None,
        may_send: Callable[[], None],
    ) -> str:
        assert not self._is_halted, "a job was started after a halt"

        def check() -> None:
            may_send()
            self.world.check_intent(manifest)

        return self._asked(
            lambda: self.inner.start_job(
                folder_uuid=folder_uuid,
                integration_uuid=integration_uuid,
                manifest=manifest,
                data_items=data_items,
                may_send=check,
            )
        )

    def poll_job(self, *, folder_uuid: str, job_id: str, wait_seconds: int) -> JobReport:
        self.process.pause("poll")
        if self.world.encord.holds_polls and job_id in self.world.encord.open:
            self.world.pass_time(wait_seconds)
        return self._asked(
            lambda: self.inner.poll_job(folder_uuid=folder_uuid, job_id=job_id, wait_seconds=wait_seconds)
        )

    def cancel_job(self, *, folder_uuid: str, job_id: str) -> int:
        self.process.pause("cancel")
        return self.inner.cancel_job(folder_uuid=folder_uuid, job_id=job_id)

    def count_items(self, folder_uuid: str) -> int:
        self.process.pause("count")
        return self._asked(lambda: self.inner.count_items(folder_uuid))

    def items_page(
        self, folder_uuid: str, page_token: str | None, *, newest_first: bool = False, search: str | None = None
    ) -> ItemPage:
        self.process.pause("list")
        return self._asked(
            lambda: self.inner.items_page(folder_uuid, page_token, newest_first=newest_first, search=search)
        )

    def folders_of_items(self, item_uuids: Sequence[str]) -> dict[str, str] | None:
        self.process.pause("look up")
        return self._asked(lambda: self.inner.folders_of_items(item_uuids))

    def child_items(self, folder_uuid: str, item_uuid: str) -> tuple[RemoteItem, ...] | None:
        self.process.pause("open")
        return self._asked(lambda: self.inner.child_items(folder_uuid, item_uuid))

    def _asked(self, ask: Callable[[], _Answer]) -> _Answer:
        try:
            return ask()
        except HaltError:
            self._is_halted = True
            raise
