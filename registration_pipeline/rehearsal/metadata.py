"""The steps of a rehearsal about metadata: media metadata in both forms of a manifest, and an upsert of client metadata.

What does not belong here: the other steps (``trial.py``), the values that are sent (``manifests.py``), and what it means
(``findings/metadata.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from registration_pipeline.errors import SubmissionError
from registration_pipeline.objects import KINDS
from registration_pipeline.rehearsal.jobs import Sending
from registration_pipeline.rehearsal.manifests import CHANGED_KEY, CHANGED_VALUE, described_unit, upserted_unit
from registration_pipeline.rehearsal.observations import JobTrial, MediaTrial, Step, items_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.rehearsal.choice import Choice
    from registration_pipeline.rehearsal.jobs import JobRunner


@dataclass(slots=True)
class MetadataTrial:
    """What is tried of metadata; one thread.

    Args:
        runner: sends manifests into the folder.
        choice: of which one object of each kind is registered.
        notify: called with a line for each step.
    """

    runner: JobRunner
    choice: Choice
    notify: Callable[[str], None]

    def run(self, empty: Callable[[], bool]) -> None:
        """Do every step that the kinds of the objects allow.

        Args:
            empty: deletes all items of the folder, and returns whether it is seen to be empty.

        Raises:
            HaltError: Encord can't be asked any more, or a start's fate is not known.
        """
        units = tuple(map(described_unit, (*self.choice.first[:1], *self.choice.others)))
        with_media = tuple(unit for unit in units if unit.objects[0].media_metadata is not None)
        if not with_media and not any(KINDS[unit.kind].has_client_metadata for unit in units):
            return
        if not empty():
            return
        self._register(Step.MEDIA_JSON, units, "register objects with metadata of their own, as JSON", Sending())
        self._upsert(units)
        if with_media and empty():
            what = "register objects with metadata of their own, in the typed form"
            self._register(Step.MEDIA_TYPED, with_media, what, Sending(is_typed=True))

    def _register(self, step: Step, units: tuple[PlannedUnit, ...], what: str, sending: Sending) -> None:
        self.notify(what)
        trial = self.runner.try_manifest(step.value, units, sending)
        if not isinstance(trial, JobTrial):
            self.runner.seen.refused[step] = trial
            return
        self.runner.seen.jobs[step] = trial
        self.runner.seen.media[step] = tuple(
            self._media(unit, text, trial) for unit in units if (text := unit.objects[0].media_metadata) is not None
        )

    def _media(self, unit: PlannedUnit, sent: str, trial: JobTrial) -> MediaTrial:
        found, shown = items_of(unit, trial.added), None
        if found:
            folder = self.runner.folder
            shown = folder.retry.read("reading an item", partial(folder.gateway.media_of, found[0].item_uuid))
        return MediaTrial(kind=unit.kind, sent=json.loads(sent), shown=shown)

    def _upsert(self, units: tuple[PlannedUnit, ...]) -> None:
        """Send one of the units again with other client metadata, as an upsert does."""
        seen, registered = self.runner.seen, self.runner.seen.jobs.get(Step.MEDIA_JSON)
        if registered is None:
            return
        for unit in units:
            found = items_of(unit, registered.added)
            if found and KINDS[unit.kind].has_client_metadata:
                break
        else:
            return
        self.notify("send other client metadata of an item as an upsert does")
        before = self._client_metadata(found[0].item_uuid)
        again = (upserted_unit(unit, Step.MEDIA_JSON),)
        trial = self.runner.try_manifest(Step.UPSERT.value, again, Sending(is_upsert=True))
        if not isinstance(trial, JobTrial):
            seen.refused[Step.UPSERT] = trial
            return
        seen.jobs[Step.UPSERT] = trial
        seen.upserted = before, self._changed_metadata(found[0].item_uuid)

    def _changed_metadata(self, item_uuid: str) -> dict[str, object]:
        """Return client metadata when it shows what was sent, or when it was waited for in vain."""
        patience = self.runner.folder.patience
        ends = patience.monotonic() + patience.lag
        while True:
            metadata = self._client_metadata(item_uuid)
            if metadata.get(CHANGED_KEY) == CHANGED_VALUE or patience.monotonic() >= ends:
                return metadata
            self.runner.folder.retry.pause(patience.step)

    def _client_metadata(self, item_uuid: str) -> dict[str, object]:
        folder = self.runner.folder
        read = partial(folder.gateway.metadata_of, item_uuid)
        try:
            return dict(folder.retry.call("reading client metadata", read))
        except SubmissionError:
            return {}  # the item is gone: what was sent to it is not shown
