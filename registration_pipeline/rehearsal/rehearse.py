"""A whole rehearsal: folder, steps, clean-up and result, whatever interrupts it.

What does not belong here: choosing objects (``choice.py``), asking the user and printing (``cli/rehearse.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import HaltError, RegistrationPipelineError
from registration_pipeline.rehearsal.advice import settings_advice
from registration_pipeline.rehearsal.findings.rules import all_findings
from registration_pipeline.rehearsal.folder import NAME_START, Patience, TrialFolder
from registration_pipeline.rehearsal.jobs import JobRunner
from registration_pipeline.rehearsal.observations import Observations
from registration_pipeline.rehearsal.report import Rehearsal
from registration_pipeline.rehearsal.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.rehearsal.choice import Choice
    from registration_pipeline.rehearsal.folder import Leftovers
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.trial import TrialGateway

INTERRUPTED: Final = 130
DESCRIPTION: Final = (
    "Made by `registration-pipeline rehearse` to try how this account behaves. Nothing else uses it, and it is removed at the "
    "end. If it is still here an hour later, delete it."
)


@dataclass(slots=True, kw_only=True)
class Rehearser:
    """What a rehearsal needs.

    Args:
        source: whose objects are registered.
        gateway: Encord; its watch adds to ``seen.replies``.
        retry: how calls are repeated.
        choice: what is registered.
        integration_uuid: what Encord reads the objects with.
        domain: which Encord, for the result.
        timeout_seconds: ``encord.timeout_seconds``.
        token: makes the folder's name one that nothing else has.
        patience: how long to wait.
        notify: called with a line for each step.
        seen: what was observed.
        folder: the folder that was made; None: not yet.
    """

    source: SourceSettings
    gateway: TrialGateway
    retry: RetryPolicy
    choice: Choice
    integration_uuid: str | None
    domain: str
    timeout_seconds: int
    token: str
    patience: Patience = field(default_factory=Patience)
    notify: Callable[[str], None] = lambda _: None
    seen: Observations = field(default_factory=Observations)
    folder: TrialFolder | None = None

    def rehearse(self) -> Rehearsal:
        """Do all steps, remove what was made and return the result; nothing is raised for what Encord does meanwhile."""
        started_at = datetime.now(UTC)
        name = folder_name(self.source.name, started_at, self.token)
        folder = self.folder = TrialFolder(self.gateway, self.retry, name, self.patience)
        try:
            stopped, exit_status = self._try(folder)
        except BaseException:  # a bug of this package must not leave a folder behind either
            leftovers = self._remove(folder)
            if leftovers is not None:
                self.notify(str(leftovers))
            raise
        leftovers = self._remove(folder, in_a_hurry=exit_status == INTERRUPTED)
        return Rehearsal(
            source=self.source.name,
            domain=self.domain,
            folder=name,
            folder_uuid=folder.uuid or None,
            choice=self.choice,
            seen=self.seen,
            findings=all_findings(self.seen),
            advice=settings_advice(
                self.seen, self.source, lag_limit=self.patience.lag, timeout_seconds=self.timeout_seconds
            ),
            started_at=started_at,
            finished_at=datetime.now(UTC),
            stopped=stopped,
            exit_status=exit_status,
            leftovers=leftovers,
        )

    def _remove(self, folder: TrialFolder, *, in_a_hurry: bool = False) -> Leftovers | None:
        try:
            self.notify("remove the folder and what is in it")
            return folder.remove(in_a_hurry=in_a_hurry)
        except KeyboardInterrupt:
            return self.left_behind("the clean-up was interrupted")

    def left_behind(self, why: str) -> Leftovers | None:
        """Return what would be left if everything ended now; None: nothing. Asks nothing and waits for nothing."""
        return self.folder.left(why) if self.folder is not None else None

    def _try(self, folder: TrialFolder) -> tuple[str | None, int]:
        """Return why the steps were not all done, and the exit status for that."""
        try:
            self.notify(f"make the folder {folder.name!r}")
            folder.make(DESCRIPTION)
            self.notify(f"its UUID is {folder.uuid}")
            self.notify(
                f"after each upload job the folder is watched for {self.patience.watch:.0f} s or more, for items that "
                "come late or twice"
            )
            runner = JobRunner(folder, self.integration_uuid, self.seen)
            Trial(runner, self.choice, self.notify).run()
        except KeyboardInterrupt:
            self.notify("interrupted; interrupt again to leave the folder in Encord")
            return "it was interrupted", INTERRUPTED
        except RegistrationPipelineError as error:
            # What single manifests are refused with is an observation; what comes here is about Encord as a whole.
            return str(error), error.exit_status if isinstance(error, HaltError) else HaltError.exit_status
        return None, 0


def folder_name(source: str, at: datetime, token: str) -> str:
    """Return the name of a rehearsal's folder: the source, the time, and a token so that it is the only one of the name."""
    return f"{NAME_START}{source} {at:%Y-%m-%d %H:%M:%S} UTC {token}"
