"""The upserts of a source: what they are planned from, a preview, and sending them.

No Dagster objects and no decisions here; heavy imports wait until a method needs them.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.project.submitting import submitting
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.layout import upserts_source

if TYPE_CHECKING:
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.planning.upserts.request import UpsertPlan, UpsertRequest
    from registration_pipeline.submission.result import ChunkResult, ReadyChunk
    from registration_pipeline.tracking.journal.states import JournalEvent
    from registration_pipeline.tracking.upserts import UpsertView


@dataclass(frozen=True)
class SourceUpserts:
    """The upserts of one source.

    Args:
        project: the configuration.
        source: which; with ``upsert_metadata``.
    """

    project: Project
    source: SourceSettings

    def view(self) -> "UpsertView":
        """Return what there is of upserts."""
        from registration_pipeline.tracking.upserts import upsert_view

        return upsert_view(self.project.store, upserts_source(self.source.name))

    def preview(self) -> "UpsertPlan | None":
        """Return what would be sent, and write nothing; None: no metadata is known yet."""
        from registration_pipeline.planning.upserts.plan import plan_upserts

        metadata = self._metadata()
        if metadata is None:
            return None
        return plan_upserts(self.project.store, self._request(metadata, self.view()), dry_run=True)

    def send(
        self,
        *,
        notify: Callable[[str], None],
        planned: "Callable[[UpsertPlan], None]" = lambda _: None,
        failed: bool = False,
        force: bool = False,
    ) -> "Generator[ReadyChunk | ChunkResult, None, None]":
        """Send what has changed, and yield what comes; nothing is asked of Encord where nothing can have changed.

        Args:
            notify: called with texts about what takes long.
            planned: called with each wave.
            failed: also what failed for a reason that does not pass by itself.
            force: also what was tried as often as is allowed.

        Raises:
            HaltError: nothing more may be sent.
        """
        from registration_pipeline.planning.upserts.request import is_due
        from registration_pipeline.submission.upserts.run import send_upserts

        metadata, view = self._metadata(), self.view()
        if metadata is None:
            return
        request = self._request(metadata, view, failed=failed, force=force)
        is_open = bool(view.under_way() or view.unsent())
        if not is_open and not is_due(request, has_retries=view.has_retries(request.policy)):
            return
        with submitting(self.project, self.source, notify) as opened:
            context = replace(opened, source=upserts_source(self.source.name))
            yield from send_upserts(
                context, lambda seen: self._request(metadata, seen, failed=failed, force=force), planned=planned
            )

    def _metadata(self) -> "FactSet | None":
        from registration_pipeline.facts.metadata.metadata_set import METADATA
        from registration_pipeline.facts.sets import latest_facts

        return latest_facts(self.project.store, self.source.name, METADATA)

    def _request(
        self, metadata: "FactSet", view: "UpsertView", *, failed: bool = False, force: bool = False
    ) -> "UpsertRequest":
        from registration_pipeline.objects import MediaKind
        from registration_pipeline.planning.upserts.request import UpsertRequest
        from registration_pipeline.tracking.upserts import RegistrationView, retry_policy

        snapshot = self.project.snapshot(self.source)
        return UpsertRequest(
            source=self.source.name,
            sizes={kind: self.source.chunk_size.of(kind) for kind in MediaKind},
            limits=self.project.manifest_limits,
            submit_as=self.source.submit_as,
            metadata=metadata,
            registrations=RegistrationView(self.project.store, snapshot, _sent_metadata),
            history=view.snapshot.history,
            outcomes=view,
            policy=retry_policy(max_attempts=self.source.max_attempts, failed=failed, force=force),
            clock=utc_now,
        )


def _sent_metadata(verdict: "JournalEvent") -> bool:
    """Return whether the metadata of a chunk's plan has been sent: what was there before the first upload never got it."""
    from registration_pipeline.audit.adoption import MESSAGE
    from registration_pipeline.submission.split import ADOPTED_PRIOR

    message = verdict.message or ""
    return message != ADOPTED_PRIOR and not (verdict.attempt == 1 and message.startswith(MESSAGE))
