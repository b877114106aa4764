"""A loaded configuration with its state, listers and gateway, each opened on first use.

Used by assets and commands alike. No Dagster objects and no decisions here; heavy imports wait until a method needs them.
"""

import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from registration_pipeline.errors import UsageError
from registration_pipeline.limits import MANIFEST_LIMITS, ManifestLimits
from registration_pipeline.settings import (
    MediaMetadata,
    Settings,
    SourceSettings,
    encord_domain,
    encord_private_key,
    load_settings,
)

if TYPE_CHECKING:
    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.facts.reading.reading import Reading, ReadingProgress
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.key_ranges.reading import KeyBounds
    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.inventory.progress import ListingProgress
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.planning.plan import Plan
    from registration_pipeline.project.clients.stores import StoreClients
    from registration_pipeline.project.upserts import SourceUpserts
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.cancel import CancelledJob
    from registration_pipeline.submission.gateway import RegistrationGateway
    from registration_pipeline.submission.known_folders import KnownFolders
    from registration_pipeline.submission.trial import Reply, TrialGateway
    from registration_pipeline.tracking.failures.files import FailureRow
    from registration_pipeline.tracking.snapshot import Held, SourceSnapshot
    from registration_pipeline.tracking.status import SourceStatus


@dataclass(frozen=True)
class Project:
    """A loaded ``registration.yaml`` and the environment that it is read with.

    Args:
        settings: the configuration.
        environ: the environment.
        clients: give the clients that list the sources; None: those of their settings and of the environment.
        held: what was read of the state last; the steps of a run hand it on.
        longest_wait: seconds that a submission waits for another process before it gives up; None: until it is its turn.
        opened: the store of the state, where it is open already; None: it is opened when it is needed.
    """

    settings: Settings
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)
    clients: "StoreClients | None" = None
    held: "Held" = field(repr=False, compare=False, default_factory=dict)
    longest_wait: float | None = None
    opened: "StateStore | None" = field(repr=False, compare=False, default=None)

    @classmethod
    def load(cls, config: Path | None = None, environ: Mapping[str, str] | None = None) -> "Project":
        """Read the configuration; the environment defaults to the process's.

        Raises:
            ConfigurationError: the file or the environment is wrong.
        """
        environ = os.environ if environ is None else environ
        return cls(settings=load_settings(config, environ), environ=environ)

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str] | None = None) -> "Project":
        """Return a project of settings that are loaded already; the environment defaults to the process's."""
        return cls(settings=settings, environ=os.environ if environ is None else environ)

    @cached_property
    def store(self) -> "StateStore":
        """The state."""
        from registration_pipeline.state.factory import open_state_store

        return self.opened or open_state_store(self.settings.state)

    @cached_property
    def gateway(self) -> "RegistrationGateway":
        """Encord.

        Raises:
            CredentialsError: no key in the environment.
            ConfigurationError: a key that can't be used.
        """
        from registration_pipeline.submission.encord.gateway import EncordGateway

        key = encord_private_key(self.environ)
        return EncordGateway(
            ssh_private_key=key.reveal(),
            domain=encord_domain(self.settings, self.environ),
            timeout_seconds=self.settings.encord.timeout_seconds,
        )

    def trial_gateway(self, watch: "Callable[[Reply], None]") -> "TrialGateway":
        """Return Encord for a rehearsal.

        Args:
            watch: called with what each reply said besides its body.

        Raises:
            CredentialsError: no key in the environment.
            ConfigurationError: a key that can't be used.
        """
        from registration_pipeline.submission.encord.trial import EncordTrialGateway

        return EncordTrialGateway(
            ssh_private_key=encord_private_key(self.environ).reveal(),
            domain=encord_domain(self.settings, self.environ),
            timeout_seconds=self.settings.encord.timeout_seconds,
            watch=watch,
        )

    def source(self, name: str) -> SourceSettings:
        """Return a source by name.

        Raises:
            UsageError: there is none of that name.
        """
        sources = self.settings.sources
        if name in sources:
            return sources[name]
        near = difflib.get_close_matches(name, sources, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"There is no source {name!r} in {self.settings.path}; it has {', '.join(sources)}.{meant}")

    def chosen(self, names: Sequence[str]) -> list[SourceSettings]:
        """Return the named sources, each once, or all when none is named."""
        return [self.source(name) for name in dict.fromkeys(names)] if names else list(self.settings.sources.values())

    def lister(self, source: SourceSettings, notify: Callable[[str], None] = lambda _: None) -> "ObjectLister":
        """Return the lister of the source's store."""
        from registration_pipeline.project.clients.listers import make_lister
        from registration_pipeline.project.clients.stores import SettingsClients

        clients = self.clients or SettingsClients(self.environ)
        return make_lister(source, clients, environ=self.environ, notify=notify)

    def reader(self, source: SourceSettings) -> "ObjectReader":
        """Return the reader of parts of the source's objects."""
        from registration_pipeline.project.clients.readers import make_reader
        from registration_pipeline.project.clients.stores import SettingsClients

        return make_reader(source, self.clients or SettingsClients(self.environ), environ=self.environ)

    def ask_encord(self, source: SourceSettings) -> None:
        """Ask Encord for what registering the source needs, and change nothing.

        Raises:
            HaltError: the key, the integration or the folder can't be used.
            ConfigurationError: a key that can't be used.
        """
        from registration_pipeline.submission.calls.pace import shared_pace
        from registration_pipeline.submission.calls.retry import RetryPolicy
        from registration_pipeline.submission.target import ask_for_target

        pace = shared_pace(encord_domain(self.settings, self.environ))
        retry = RetryPolicy(pace=pace, source=source.name)
        ask_for_target(self.gateway, retry, source, lambda: self.known_folders(source))

    def known_folders(self, source: SourceSettings) -> "KnownFolders":
        """Return the folders that something of the source was sent to; what was read a moment ago is not read again."""
        from registration_pipeline.state.layout import lineage_folder
        from registration_pipeline.state.owned import own_names
        from registration_pipeline.submission.known_folders import KnownFolders
        from registration_pipeline.tracking.journal.journal import Journal

        seen = self.held.get((self.store.uri, source.name))
        if seen is None and next(own_names(self.store, lineage_folder(source.name)), None) is None:
            return KnownFolders()  # nothing was planned, so the journals need not be listed
        journals = seen.journals if seen is not None else Journal(self.store, source.name).fold_all()
        return KnownFolders.of(folded.progress for folded in journals.values())

    def take_inventory(
        self,
        source: SourceSettings,
        progress: "Callable[[ListingProgress], None] | None" = None,
        notify: Callable[[str], None] = lambda _: None,
        *,
        expected: int | None = None,
    ) -> "Inventory":
        """List the source into a new inventory; ``expected`` are the objects of the one before, for the progress."""
        from registration_pipeline.inventory.inventory import take_inventory
        from registration_pipeline.inventory.place import ListedPlace

        return take_inventory(
            lister=self.lister(source, notify),
            store=self.store,
            source=source.name,
            clock=utc_now,
            progress=progress,
            expected=expected,
            place=ListedPlace.of(source),
        )

    def read_headers(
        self,
        source: SourceSettings,
        progress: "Callable[[ReadingProgress], None] | None" = None,
        *,
        again: bool = False,
    ) -> "Reading | None":
        """Read the headers that planning the latest inventory needs; None: there is nothing to read."""
        from registration_pipeline.project.facts.headers import SourceHeaders

        return SourceHeaders(self.store, source, lambda: self.reader(source), utc_now).read(progress, again=again)

    def read_media(
        self,
        source: SourceSettings,
        progress: "Callable[[ReadingProgress], None] | None" = None,
        *,
        again: bool = False,
    ) -> "Reading | None":
        """Read the media metadata that planning the latest inventory needs; None: there is nothing to read."""
        if source.media_metadata is MediaMetadata.OFF:
            return None
        from registration_pipeline.project.facts.media import SourceMedia

        return SourceMedia(self.store, source, lambda: self.reader(source), utc_now).read(progress, again=again)

    def read_facts_between(
        self,
        source: SourceSettings,
        name: str,
        bounds: "KeyBounds",
        progress: "Callable[[ReadingProgress], None] | None" = None,
        *,
        again: bool = False,
    ) -> "ReadingProgress | None":
        """Read the headers or media of a key range, for ``read_headers`` or ``read_media``; None: there is nothing to read."""
        from registration_pipeline.project.facts.headers import SourceHeaders
        from registration_pipeline.project.facts.media import SourceMedia

        made_of = (self.store, source, lambda: self.reader(source), utc_now)
        facts = SourceHeaders(*made_of) if name == "headers" else SourceMedia(*made_of)
        return facts.read_part(bounds, progress, again=again)

    def read_metadata(
        self,
        source: SourceSettings,
        progress: "Callable[[ReadingProgress], None] | None" = None,
        *,
        again: bool = False,
    ) -> "Reading | None":
        """Make the client metadata that planning the latest inventory needs; None: there is nothing to make."""
        if not source.metadata:
            return None
        from registration_pipeline.project.facts.metadata import SourceMetadata

        return SourceMetadata(self, source).read(progress, again=again)

    @property
    def manifest_limits(self) -> ManifestLimits:
        """What Encord accepts in one manifest under ``encord.plan``."""
        return MANIFEST_LIMITS[self.settings.encord.plan]

    def plan(self, source: SourceSettings, *, dry_run: bool = False) -> "Plan":
        """Plan what the latest inventory holds and no wave has planned yet."""
        from registration_pipeline.planning.plan import plan_source

        return plan_source(store=self.store, source=source, clock=utc_now, limits=self.manifest_limits, dry_run=dry_run)

    def snapshot(self, source: SourceSettings, history: "PlanHistory | None" = None) -> "SourceSnapshot":
        """Return what is planned and the state of each chunk, read again only as far as it has changed.

        Args:
            source: which.
            history: what was planned, if it was read a moment ago.
        """
        from registration_pipeline.tracking.snapshot import current_snapshot

        return current_snapshot(self.store, source.name, self.held, history=history)

    def status(
        self,
        source: SourceSettings,
        snapshot: "SourceSnapshot | None" = None,
        *,
        inventory: "Inventory | None" = None,
    ) -> "SourceStatus":
        """Count the objects of the source's latest inventory by state, planned or not.

        Args:
            source: which.
            snapshot: of a moment ago; by default the current one.
            inventory: the newest one, if it was read a moment ago.
        """
        from registration_pipeline.tracking.latest_view import view_of_latest
        from registration_pipeline.tracking.status import source_status

        snapshot = snapshot or self.snapshot(source)
        with view_of_latest(self.store, source, snapshot, self.manifest_limits, inventory=inventory) as (view, seen):
            status = source_status(
                view, source.name, seen, max_attempts=source.max_attempts, accepted=source.accept_rejected
            )
        if source.upsert_metadata:
            status = replace(status, upserts=self.upserts(source).view().counts())
        if source.dataset is not None:
            from registration_pipeline.tracking.links.counts import dataset_counts

            status = replace(status, dataset=dataset_counts(self.store, snapshot))
        if any(entry.table is not None for entry in source.metadata):
            from registration_pipeline.facts.metadata.metadata_set import latest_table_counts

            status = replace(status, tables=latest_table_counts(self.store, source))
        return status

    def upserts(self, source: SourceSettings) -> "SourceUpserts":
        """Return the upserts of a source."""
        from registration_pipeline.project.upserts import SourceUpserts

        return SourceUpserts(self, source)

    def failures(
        self,
        source: SourceSettings,
        snapshot: "SourceSnapshot | None" = None,
        *,
        inventory: "Inventory | None" = None,
    ) -> "Iterator[FailureRow]":
        """Yield what is not registered, upserted or linked, and why; arguments as ``status``."""
        from registration_pipeline.tracking.failures.log import source_failures
        from registration_pipeline.tracking.latest_view import view_of_latest

        snapshot = snapshot or self.snapshot(source)
        with view_of_latest(self.store, source, snapshot, self.manifest_limits, inventory=inventory) as (view, seen):
            yield from source_failures(view, source.name, seen)
        if source.upsert_metadata:
            yield from self.upserts(source).view().failures(source.name)
        if source.dataset is not None:
            from registration_pipeline.tracking.links.counts import link_failures

            yield from link_failures(self.store, snapshot)

    def cancel(self, source: SourceSettings, chunk_id: str) -> "list[CancelledJob]":
        """Cancel the open upload jobs of a chunk and of its parts."""
        from registration_pipeline.submission.calls.retry import RetryPolicy
        from registration_pipeline.submission.cancel import cancel_chunk

        return cancel_chunk(self.store, source.name, chunk_id, gateway=self.gateway, retry=RetryPolicy())


def utc_now() -> datetime:
    """Return the time; the one clock of the shell."""
    return datetime.now(UTC)
