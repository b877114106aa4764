"""From something that happened to a message that people have: decided, recorded, sent, and sent again if it did not arrive.

What does not belong here: the rules (``rules.py``), the texts, the channels. Nothing here fails the caller: what goes wrong is
a warning.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.errors import StateCorruptError, StateError
from registration_pipeline.foreign_text import masked, printable
from registration_pipeline.notify.channels.targets import open_channels
from registration_pipeline.notify.document import document_of, test_document
from registration_pipeline.notify.incident import IncidentKind
from registration_pipeline.notify.known import News, compare, not_accepted
from registration_pipeline.notify.message import Message, message_of
from registration_pipeline.notify.records import AlertRecords
from registration_pipeline.notify.rules import Decision, Memory, decide
from registration_pipeline.notify.sending import PATIENT, Patience, send_to_all
from registration_pipeline.state.layout import reports_folder
from registration_pipeline.state.version import ensure_layout
from registration_pipeline.tracking.failures.files import STAGE_PLAN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from registration_pipeline.notify.incident import Incident
    from registration_pipeline.notify.known import KnownFailures
    from registration_pipeline.notify.records import Tries
    from registration_pipeline.settings import Settings, SourceSettings
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.failures.files import FailureRow

_CONFLICTS: Final = 5
_UNRECORDED: Final[set[tuple[str, str]]] = set()
"""Sources and runs that this process sent a message of without a record."""

_LAST_MESSAGES: Final = 5
"""Messages that are searched for one that did not arrive."""

_LARGEST_PAGE: Final = 2_000_000
"""Bytes of a report that is attached; it has fifty thousand, and mail servers refuse large messages."""


def _now() -> datetime:
    return datetime.now(UTC)


def deliver(
    store: StateStore,
    settings: Settings,
    source: SourceSettings,
    incident: Incident,
    *,
    environ: Mapping[str, str],
    warn: Callable[[str], object],
    clock: Callable[[], datetime] = _now,
    patience: Patience = PATIENT,
) -> bool:
    """Send a message of an incident to all channels of ``notify`` if it is new. Nothing that goes wrong is raised.

    Args:
        store: the state.
        settings: the configuration.
        source: what the incident is about.
        incident: what happened.
        environ: the environment, which has the login of the mail server.
        warn: takes a sentence about what could not be sent; it holds no secret.
        clock: gives the time.
        patience: how long a channel is tried.

    Returns:
        Whether any channel took a message.
    """
    try:
        notifier = Notifier(store, settings, source, environ=environ, warn=warn, clock=clock, patience=patience)
        return notifier.deliver(incident)
    except Exception as error:  # noqa: BLE001 - a message must never cost a night
        warn(f"{source.name}: no message could be sent: {printable(masked(str(error))) or type(error).__name__}")
        return False


def send_again(
    store: StateStore,
    settings: Settings,
    source: SourceSettings,
    *,
    environ: Mapping[str, str],
    warn: Callable[[str], object],
    clock: Callable[[], datetime] = _now,
    patience: Patience = PATIENT,
) -> None:
    """Send the messages of a source that did not arrive; arguments as ``deliver``. Nothing that goes wrong is raised."""
    try:
        Notifier(store, settings, source, environ=environ, warn=warn, clock=clock, patience=patience).send_again()
    except Exception as error:  # noqa: BLE001 - likewise
        warn(f"{source.name}: no message could be sent again: {printable(masked(str(error))) or type(error).__name__}")


def try_channels(
    settings: Settings, *, environ: Mapping[str, str], at: datetime, patience: Patience = PATIENT
) -> dict[str, str | None]:
    """Send a test message to every channel of ``notify``; nothing is recorded.

    Args:
        settings: the configuration.
        environ: the environment, which has the login of the mail server.
        at: the time.
        patience: how long a channel is tried.

    Returns:
        By channel why it did not take the message, as a clause; None: it took it.
    """
    message = message_of(test_document(list(settings.sources), at))
    return send_to_all(open_channels(settings.notify, environ), message, patience)


class Notifier:
    """Sends the messages of one source.

    Args:
        store: the state.
        settings: the configuration.
        source: which source.
        environ: the environment, which has the login of the mail server.
        warn: takes a sentence about what could not be sent.
        clock: gives the time.
        patience: how long a channel is tried.
    """

    def __init__(
        self,
        store: StateStore,
        settings: Settings,
        source: SourceSettings,
        *,
        environ: Mapping[str, str],
        warn: Callable[[str], object],
        clock: Callable[[], datetime] = _now,
        patience: Patience = PATIENT,
    ) -> None:
        self._store, self._source = store, source
        self._channels = open_channels(settings.notify, environ)
        self._records = AlertRecords(store, source.name)
        self._warn, self._clock, self._patience = warn, clock, patience

    def deliver(self, incident: Incident) -> bool:
        """Send a message of an incident if it is new; return whether any channel took it."""
        if not self._channels:
            return False
        try:
            self.send_again()
            recorded = self._record(incident)
        except StateError as error:
            return self._send_unrecorded(incident, error)
        return recorded is not None and self._send(recorded.memory.number, 1, document_of(recorded))

    def send_again(self) -> None:
        """Send what did not arrive: a channel was down, or the process died between recording and sending."""
        if not self._channels:
            return
        last = self._records.tries()[-_LAST_MESSAGES:]
        for place, tries in enumerate(last, start=1):
            # What is damaged can't be sent again; `state --verify` names it, and later messages don't need it.
            with suppress(StateCorruptError):
                self._send_again(tries, last[place:])

    def _send_again(self, tries: Tries, later: Sequence[Tries]) -> None:
        """Send a message to the channels that need it still: one that has the end of a trouble does not get its beginning."""
        if not self._records.due_again(tries, self._clock()):
            return
        attempt = tries.last + 1
        if self._records.begin_try(tries.number, attempt, self._clock()):
            have, overtaken = self._records.have(tries), self._records.overtaken(tries, later)
            self._send(tries.number, attempt, self._records.message(tries.number), have, overtaken)

    def _message(self, document: Mapping[str, Any]) -> Message:
        """Return the message of a document, with the report as it is in the state; a message goes without it if need be."""
        message, location = message_of(document), document.get("report")
        folder = reports_folder(self._source.name)
        if not location or not location.startswith(self._store.location(folder)):
            return message
        with suppress(StateError):  # old pages are removed, and a state that is down must not keep a message
            page = self._store.read(folder + location.rpartition("/")[2])
            return replace(message, page=page if len(page) <= _LARGEST_PAGE else None)
        return message

    def _record(self, incident: Incident) -> Decision | None:
        """Record what is new, which makes this process the one that sends it."""
        # A source that was never synced may have a message, and a state that does not say its layout is refused.
        ensure_layout(self._store, self._source.name, self._clock())
        for _ in range(_CONFLICTS):
            memory = self._memory()
            decision = decide(memory, incident, lambda known: self._news(incident, known))
            if decision is None:
                return None
            if self._records.create(decision.memory, document_of(decision), self._clock()):
                self._records.forget(memory.known, decision.memory.known)
                return decision
        return None

    def _send_unrecorded(self, incident: Incident, error: StateError) -> bool:
        """Send a message of a trouble although nothing can be recorded: a state that is down is why runs halt.

        Each process says so once of a run; another one that sees the run may repeat it.

        Raises:
            StateError: the incident is the end of a run, of which the state has to be read.
        """
        said = (incident.source, incident.run_id or incident.trouble)
        if incident.kind is IncidentKind.ENDED or said in _UNRECORDED:
            raise error
        self._warn(f"{incident.source}: the message that is sent now can't be recorded, so it may be repeated: {error}")
        _UNRECORDED.add(said)
        decision = Decision(kind=incident.kind, incident=incident, news=News(), ended=(), memory=Memory())
        document = {
            **document_of(decision),
            "id": f"{incident.source}/unrecorded-{incident.run_id or incident.at.isoformat()}",
        }
        results = send_to_all(self._channels, self._message(document), self._patience)
        self._warn_of(results)
        return None in results.values()

    def _memory(self) -> Memory:
        try:
            return self._records.memory()
        except StateCorruptError as error:
            # Saying all of it again is better than saying nothing from now on.
            self._warn(f"{self._source.name}: what was reported before can't be read, so everything is new: {error}")
            return Memory(number=self._records.last())

    def _news(self, incident: Incident, known: KnownFailures | None) -> News:
        failures = incident.failures
        if failures is None:
            return News()

        def rows() -> Iterator[FailureRow]:
            return not_accepted(failures(), self._source.accept_rejected, STAGE_PLAN)

        try:
            return compare(self._store, self._source.name, known, rows)
        except StateCorruptError as error:
            # What was said before can't be read: saying all of it again is better than saying nothing.
            self._warn(
                f"{self._source.name}: what the last message was about can't be read, so all failures are new: {error}"
            )
            return compare(self._store, self._source.name, None, rows)

    def _send(
        self,
        number: int,
        attempt: int,
        document: Mapping[str, object],
        have: Collection[str] = (),
        overtaken: Collection[str] = (),
    ) -> bool:
        channels = {
            name: channel for name, channel in self._channels.items() if name not in have and name not in overtaken
        }
        results = send_to_all(channels, self._message(document), self._patience)
        failed = self._warn_of(results)
        sent = [name for name in results if name not in failed]
        self._records.end_try(number, attempt, [*have, *sent], failed, self._clock())
        return bool(sent)

    def _warn_of(self, results: Mapping[str, str | None]) -> list[str]:
        """Warn of the channels that did not take a message, and return them."""
        failed = [name for name, why in results.items() if why is not None]
        for name in failed:
            self._warn(f"{self._source.name}: the message could not be sent to {name}: {results[name]}.")
        return failed
