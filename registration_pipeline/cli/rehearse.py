"""The ``rehearse`` command: asks, lets a rehearsal run, and shows what it found. The rehearsal itself is in ``rehearsal/``."""

import json
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import typer
from rich.markup import escape
from rich.table import Table

from registration_pipeline.cli.interrupt import at_forced_end
from registration_pipeline.cli.output import notice, print_json, say, stdout
from registration_pipeline.cli.session import DONE, DONE_WITH_FAILURES, open_project, refuse_in_state
from registration_pipeline.errors import HaltError, UsageError
from registration_pipeline.project.project import Project
from registration_pipeline.rehearsal.choice import Choice, choose_units
from registration_pipeline.rehearsal.findings.finding import Verdict
from registration_pipeline.rehearsal.folder import Patience
from registration_pipeline.rehearsal.observations import Observations
from registration_pipeline.rehearsal.rehearse import Rehearser
from registration_pipeline.settings import encord_domain
from registration_pipeline.submission.calls.pace import shared_pace
from registration_pipeline.submission.calls.retry import RetryPolicy

if TYPE_CHECKING:
    from registration_pipeline.rehearsal.report import Rehearsal
    from registration_pipeline.settings import SourceSettings

PATIENCE: Final = Patience()
_SHOWN_AS: Final = {
    Verdict.DIFFERS: "Differs from what the pipeline's rules assume",
    Verdict.SETTLED: "Settled: the rules work either way",
    Verdict.HOLDS: "Holds",
    Verdict.OPEN: "Could not be seen",
}


def rehearse_source(config: Path | None, name: str, *, yes: bool, out: Path | None, as_json: bool) -> int:
    """Try how Encord behaves with objects of the source, in a folder of its own, and say what was found."""
    if out is not None:
        _check_out(out)
    project = open_project(config)
    source = project.source(name)
    if out is not None:
        refuse_in_state(project, out)
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "`rehearse` registers objects in Encord, in a folder of its own, and asks before it does. There is no terminal to "
            "ask at: give --yes to agree beforehand."
        )
    rehearser = prepare(project, source)
    if not yes and not typer.confirm(_question(rehearser), err=True):
        raise UsageError("Nothing was made in Encord, because it was not agreed to. Answer y, or give --yes.")
    with _signals_as_interrupts(), at_forced_end(lambda: _name_what_is_left(rehearser)):
        result = rehearser.rehearse()
    if out is not None:
        _write(result, out)
    print_json(result.document()) if as_json else _print(result)
    return _exit_status(result)


def prepare(project: Project, source: "SourceSettings") -> Rehearser:
    """Return a rehearsal that is ready to start: Encord is asked for the integration, then the source is listed.

    Nothing is changed anywhere.

    Raises:
        UsageError: the source has nothing to rehearse with.
        HaltError: Encord or the source can't be asked.
    """
    seen = Observations()
    gateway = project.trial_gateway(seen.replies.append)
    domain = encord_domain(project.settings, project.environ)
    retry = RetryPolicy(pace=shared_pace(domain), source=source.name)
    integration = source.encord.integration
    integration_uuid = (
        retry.read(f"finding integration {integration!r}", lambda: gateway.resolve_integration(integration))
        if integration
        else None
    )
    now, token = datetime.now(UTC), secrets.token_hex(4)
    listed = project.lister(_plainly_listed(source))
    choice = choose_units(source, listed, at=now, token=token)
    return Rehearser(
        source=source,
        gateway=gateway,
        retry=retry,
        choice=choice,
        integration_uuid=integration_uuid,
        domain=domain,
        timeout_seconds=project.settings.encord.timeout_seconds,
        token=token,
        patience=PATIENCE,
        notify=notice,
        seen=seen,
    )


def _plainly_listed(source: "SourceSettings") -> "SourceSettings":
    """Return the source with page after page of its bucket listed: a report would be read as a whole for a few objects."""
    storage = source.storage.model_copy(update={"inventory_report": None, "top_up": False, "concurrency": 1})
    return source.model_copy(update={"storage": storage})


def _question(rehearser: Rehearser) -> str:
    choice = rehearser.choice
    units = (*choice.first, *choice.new, *choice.others)
    size = sum(unit.objects[0].size for unit in units)
    return (
        f"Rehearse at {rehearser.domain}: make a folder, register {_count(choice, len(units))} of source "
        f"{rehearser.source.name} ({size:,} bytes) in it several times, delete all of it again. Other folders are not "
        "touched. Go on?"
    )


def _count(choice: Choice, units: int) -> str:
    return f"{units} of the first {choice.examined:,} objects" if units > 1 else "1 object"


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a rehearsal as Ctrl-C does: with its folder removed."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it on purpose
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _name_what_is_left(rehearser: Rehearser) -> None:
    """Say in the last moment of a process that is ended by force what stays in Encord; without locks and without buffers."""
    left = rehearser.left_behind("the command was ended by force")
    if left is not None:
        os.write(sys.stderr.fileno(), f"Error: {left}\n".encode())


def _exit_status(result: "Rehearsal") -> int:
    if result.stopped is not None:
        notice(f"Error: the rehearsal was not finished: {result.stopped}")
    if result.leftovers is not None:
        notice(f"Error: {result.leftovers}")
    if result.exit_status:
        return result.exit_status
    if result.leftovers is not None:
        return HaltError.exit_status
    return DONE_WITH_FAILURES if result.of(Verdict.DIFFERS) else DONE


def _check_out(out: Path) -> None:
    """Refuse a name before anything is made in Encord."""
    if out.suffix != ".json":
        raise UsageError(f"--out {out}: the name must end in .json.")
    if not out.parent.is_dir() or out.is_dir() or not os.access(out.parent, os.W_OK):
        raise UsageError(f"--out {out} can't be written. Name a file in a folder that exists and may be written.")


def _write(result: "Rehearsal", out: Path) -> None:
    """Replace the file when the new one is whole. A failure is said and no more: the result is printed as well."""
    beside = out.with_name(f".{secrets.token_hex(8)}{out.suffix}")
    try:
        beside.write_text(json.dumps(result.document(), indent=2) + "\n", encoding="utf-8")
        beside.replace(out)
        notice(f"The result was written to {out}; it holds no keys, URLs or credentials.")
    except OSError as error:
        notice(f"Error: --out {out} could not be written: {error.strerror}.")
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _print(result: "Rehearsal") -> None:
    for verdict, title in _SHOWN_AS.items():
        found = result.of(verdict)
        if not found:
            continue
        say(f"\n{title} ({len(found)})")
        for finding in found:
            # What others said is quoted in a finding, so nothing in it is obeyed by a terminal.
            say(escape(f"  {finding.rule}: {finding.found}"))
            if finding.consequence:
                say(escape(f"    → {finding.consequence}"))
    if result.advice:
        table = Table(title="Settings that follow", title_justify="left", title_style="bold")
        for column in ("setting", "now", "should be", "why"):
            table.add_column(column, overflow="fold")
        for advice in result.advice:
            should = f"{advice.value}" if advice.is_change else "the same"
            table.add_row(escape(advice.key), str(advice.now), should, escape(advice.why))
        stdout().print(table)
    counts = ", ".join(f"{len(result.of(verdict))} {verdict}" for verdict in Verdict)
    removed = "removed" if result.leftovers is None else "not removed"
    say(f"{len(result.findings)} questions: {counts}. {len(result.seen.replies)} requests; the folder was {removed}.")
