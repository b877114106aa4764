"""Progress of a run on a terminal, and plain lines where there is none. Only showing belongs here."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from registration_pipeline.cli.output import stderr
from registration_pipeline.counted import counted
from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.foreign_text import printable

if TYPE_CHECKING:
    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.status import SourceStatus


class _CountColumn(MofNCompleteColumn):
    """How far a stage is; nothing for a stage that does not count."""

    def render(self, task: Task) -> Text:
        """See ``ProgressColumn``."""
        return super().render(task) if task.total or task.completed else Text()


class TerminalListener:
    """Shows a run's stages as bars on standard error, and remembers what ended it.

    Args:
        quiet: show nothing, as for ``--json`` on a pipe; errors are remembered all the same.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = stderr()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            _CountColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self.error: RegistrationPipelineError | None = None
        self.status: SourceStatus | None = None
        self.audit: AuditReport | None = None

    def __enter__(self) -> Self:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state of the bars on the screen; a stage that was cut short stays unfinished there."""
        if kind is None and self.error is None:
            self._finish_task()
        self._progress.stop()

    def stage_started(self, source: str, stage: str, total: int | None, *, unit: str = "chunk") -> None:
        """See ``RunListener``."""
        self._finish_task()
        self._task = self._progress.add_task(f"{escape(source)}: {stage}", total=total, detail="")
        if not self._console.is_terminal:
            self._say(f"{source}: {stage}" + (f", {counted(total, unit)}" if total is not None else ""))

    def advanced(self, done: int, detail: str = "") -> None:
        """See ``RunListener``."""
        if self._task is not None:
            task = self._progress.tasks[self._task]
            # A guess may have been too low: a bar that is full while work goes on would say that it is done.
            total = max(task.total, done) if task.total is not None else None
            self._progress.update(self._task, completed=done, total=total, detail=escape(printable(detail)))

    def chunk_concluded(self, source: str, result: "ChunkResult") -> None:
        """See ``RunListener``."""
        if result.has_failures and result.is_new:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(result.reasons.items()))
            self._say(
                f"{source}: chunk {result.chunk.chunk_id}: {counted(result.failed_units, 'unit')} failed ({reasons})"
            )

    def counted(self, status: "SourceStatus") -> None:
        """See ``RunListener``."""
        self.status = status

    def audited(self, report: "AuditReport") -> None:
        """See ``RunListener``."""
        self.audit = report

    def notice(self, text: str, level: str | None = None) -> None:  # noqa: ARG002
        """See ``RunListener``."""
        self._say(text)

    def stopped(self, error: RegistrationPipelineError) -> None:
        """See ``RunListener``."""
        self.error = error

    def _finish_task(self) -> None:
        if self._task is not None:
            task = self._progress.tasks[self._task]
            self._progress.update(self._task, total=max(task.completed, task.total or 0))

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(escape(printable(text)))
