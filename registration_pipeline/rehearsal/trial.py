"""The steps of a rehearsal, in order: each tries one thing and notes what was seen. Nothing is judged here.

What does not belong here: single jobs (``jobs.py``), what the observations mean (``findings/``) and the folder's life
(``folder.py``).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import (
    PayloadTooLargeError,
    PermanentError,
    ServiceUnavailableError,
    SubmissionError,
)
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.rehearsal.jobs import Sending
from registration_pipeline.rehearsal.manifests import group_of, respelled_unit, with_unknown_key
from registration_pipeline.rehearsal.metadata import MetadataTrial
from registration_pipeline.rehearsal.observations import (
    Deletion,
    JobTrial,
    Observations,
    Pages,
    Step,
    TitleSearch,
    items_of,
)
from registration_pipeline.submission.gateway import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.rehearsal.choice import Choice
    from registration_pipeline.rehearsal.folder import TrialFolder
    from registration_pipeline.rehearsal.jobs import JobRunner
    from registration_pipeline.submission.gateway import RemoteItem

OVERLAP_UNITS: Final = 3
_GROUPED_IMAGES: Final = 3
PAGE_SIZE: Final = 2
_SEARCH_PAGE: Final = 100
_PATCHED: Final = {"registration.rehearsal": "patched"}
_PAGES_TOO_MANY: Final = 3
"""How many times as many pages as items are read before a listing counts as one that never ends."""


@dataclass(slots=True)
class Trial:
    """One rehearsal in a folder that was made for it; one thread.

    Args:
        runner: sends manifests into the folder.
        choice: what is registered.
        notify: called with a line for each step.
    """

    runner: JobRunner
    choice: Choice
    notify: Callable[[str], None]

    @property
    def seen(self) -> Observations:
        """What was observed so far."""
        return self.runner.seen

    @property
    def _folder(self) -> TrialFolder:
        return self.runner.folder

    def run(self) -> None:
        """Do every step that the choice allows.

        Raises:
            HaltError: Encord can't be asked any more, or a start's fate is not known; ``seen`` holds what came before.
        """
        first, new = self.choice.first, self.choice.new
        self._find_by_name()
        self._job(Step.FIRST, first, f"register {_objects(len(first))}")
        self._read_in_pages()
        self._patch_metadata()
        self._job(Step.AGAIN, first, "register the same again")
        if new:
            self._job(
                Step.OVERLAP, (*first[:OVERLAP_UNITS], *new), f"register {_objects(len(new))} together with old ones"
            )
        self._job(Step.UNREADABLE, (self.choice.missing,), "register an object that does not exist")
        self._job(Step.RESPELLED, (respelled_unit(first[0]),), "register an object under another spelling of its URL")
        self._unknown_key()
        for unit in self.choice.others:
            self._other_kind(unit)
        if self._delete_everything():
            self._side_by_side()
            if self._delete_everything():
                self._with_error()
                MetadataTrial(self.runner, self.choice, self.notify).run(self._delete_everything)
                self._groups()
        self._ask_for_jobs()

    def _job(self, step: Step, units: tuple[PlannedUnit, ...], what: str) -> None:
        self.notify(what)
        self._note(step, self.runner.try_manifest(step.value, units))

    def _note(self, step: Step, trial: JobTrial | str) -> None:
        if isinstance(trial, str):
            self.seen.refused[step] = trial
        else:
            self.seen.jobs[step] = trial

    def _find_by_name(self) -> None:
        folder = self._folder
        began = folder.patience.monotonic()
        while True:
            found = folder.retry.read("finding the folder by name", partial(folder.gateway.find_folder, folder.name))
            waited = folder.patience.monotonic() - began
            if found or waited > folder.patience.lag:
                self.seen.is_found_by_name = found == folder.uuid
                self.seen.found_after_seconds = waited if found else None
                return
            folder.retry.pause(folder.patience.step)

    def _read_in_pages(self) -> None:
        if Step.FIRST not in self.seen.jobs:
            return
        self.notify("read the folder in small pages")
        self.seen.oldest_first = self._pages(newest_first=False)
        self.seen.newest_first = self._pages(newest_first=True)
        self.seen.title_search = self._search(self.seen.jobs[Step.FIRST].added_units)

    def _pages(self, *, newest_first: bool) -> Pages:
        folder, sizes, token = self._folder, list[int](), None
        items: list[RemoteItem] = []
        most = _PAGES_TOO_MANY * max(1, len(self.seen.jobs[Step.FIRST].listed))
        while len(sizes) < most:
            read = partial(
                folder.gateway.small_page, folder.uuid, token, page_size=PAGE_SIZE, newest_first=newest_first
            )
            page = folder.retry.read("reading a page", read)
            items.extend(page.items)
            sizes.append(len(page.items))
            token = page.next_token
            if token is None:
                break
        return Pages(items=tuple(items), sizes=tuple(sizes), page_size=PAGE_SIZE, is_ended=token is None)

    def _search(self, units: tuple[PlannedUnit, ...]) -> TitleSearch | None:
        """Search the folder as a sync does for what a retry skipped: by titles, and by what they begin with."""
        beginning = _common_beginning([unit.title for unit in units])
        try:
            by_title = sum(bool(items_of(unit, self._found(unit.title))) for unit in units)
            found = self._found(beginning) if beginning else ()
        except SubmissionError:
            return None
        by_beginning = sum(bool(items_of(unit, found)) for unit in units) if beginning else None
        return TitleSearch(units=len(units), by_title=by_title, by_beginning=by_beginning)

    def _found(self, text: str) -> tuple[RemoteItem, ...]:
        folder = self._folder
        read = partial(folder.gateway.small_page, folder.uuid, None, page_size=_SEARCH_PAGE, search=text)
        return folder.retry.call("searching by title", read).items

    def _patch_metadata(self) -> None:
        folder, first = self._folder, self.seen.jobs.get(Step.FIRST)
        if first is None or not first.listed:
            return
        self.notify("patch the client metadata of an item")
        item_uuid = first.listed[0].item_uuid
        read = partial(folder.gateway.metadata_of, item_uuid)
        try:
            before = folder.retry.call("reading client metadata", read)
            folder.retry.call("patching client metadata", partial(folder.gateway.merge_metadata, item_uuid, _PATCHED))
            self.seen.patched = (dict(before), dict(folder.retry.call("reading client metadata", read)))
        except SubmissionError as error:
            self.seen.patch_refusal = str(error)

    def _unknown_key(self) -> None:
        self.notify("send a manifest with a key that does not exist")
        trial = self.runner.try_manifest(
            Step.UNKNOWN_KEY.value, self.choice.first[:1], Sending(change=with_unknown_key)
        )
        self._note(Step.UNKNOWN_KEY, trial)

    def _other_kind(self, unit: PlannedUnit) -> None:
        name = KINDS[unit.kind].list_key
        self.notify(f"register an object of the list {name!r}")
        self.seen.kinds[name] = self.runner.try_manifest(f"{Step.KIND}-{name}", (unit,))

    def _delete_everything(self) -> bool:
        """Delete all items and return whether the folder is seen to be empty, as later steps need it."""
        self.notify("delete all items of the folder")
        folder = self._folder
        item_uuids = [item.item_uuid for item in folder.items()]
        gone_seconds = folder.empty()
        if self.seen.deletion is None and item_uuids:
            # By the very call that decides whether an item that was registered before is still there.
            look_up = partial(folder.gateway.folders_of_items, item_uuids[:1])
            is_refused = folder.retry.read("looking up a deleted item", look_up) is None
            self.seen.deletion = Deletion(
                items=len(item_uuids), gone_seconds=gone_seconds, is_refused_in_bulk=is_refused
            )
        return gone_seconds is not None

    def _side_by_side(self) -> None:
        """Start two jobs with the same new objects, the second while the first is pending if that can be done."""
        self.notify("register the same objects in two jobs side by side")
        runner, units = self.runner, self.choice.first
        try:
            one = runner.start(Step.SIDE_BY_SIDE.value, units)
        except (PermanentError, PayloadTooLargeError) as error:
            self.seen.refused[Step.SIDE_BY_SIDE] = str(error)
            return
        try:
            two = runner.start(Step.SIDE_BY_SIDE_TOO.value, units)
        except (PermanentError, PayloadTooLargeError, ServiceUnavailableError) as error:
            self.seen.refused[Step.SIDE_BY_SIDE_TOO] = str(error)
            self.seen.jobs[Step.SIDE_BY_SIDE] = runner.finish(one)
            return
        self.seen.was_pending = runner.poll(one.job_id, 0).status is JobStatus.PENDING
        # The second first: it may have ended long ago, and an id is not kept for ever.
        (second, _), (first, ended) = runner.wait(two), runner.wait(one)
        watched = runner.watch(first, ended)
        # Both are seen by one watch: one of the second would begin when the first has ended, and show a lag that is none.
        self.seen.jobs[Step.SIDE_BY_SIDE] = watched
        self.seen.jobs[Step.SIDE_BY_SIDE_TOO] = replace(second, listed=watched.listed, counted=watched.counted)

    def _with_error(self) -> None:
        self.notify("register objects of which one does not exist, in a job that does not ignore errors")
        units = (*self.choice.first[:2], self.choice.missing)
        self._note(
            Step.WITH_ERROR, self.runner.try_manifest(Step.WITH_ERROR.value, units, Sending(ignore_errors=False))
        )

    def _groups(self) -> None:
        """Register a group of images, and again; beside it one with an image that does not exist, and one held in part."""
        first = self.choice.first
        if len(first) < _GROUPED_IMAGES or first[0].kind is not MediaKind.IMAGE or not self._delete_everything():
            return
        group = group_of(first[:2], "a group of images")
        bad = group_of((self.choice.missing, first[2]), "a group with an image that does not exist")
        self._job(Step.GROUPS, (group, bad), "register two groups of images, one with an image that does not exist")
        part = group_of(first[1:3], "a group of which the folder holds a part")
        self._job(Step.GROUPS_AGAIN, (group, part), "register a group again, and one of which the folder holds a part")

    def _ask_for_jobs(self) -> None:
        folder = self._folder
        self.seen.upload_jobs_ended = self.runner.counts()[1]
        self.seen.is_unknown_job_refused = not self._is_known(str(uuid.uuid4()))
        if self.runner.first_job is not None:
            job_id, ended = self.runner.first_job
            is_known, passed = self._is_known(job_id), folder.patience.monotonic() - ended
            self.seen.job_kept = (is_known, passed)

    def _is_known(self, job_id: str) -> bool:
        folder = self._folder
        poll = partial(folder.gateway.poll_job, folder_uuid=folder.uuid, job_id=job_id, wait_seconds=0)
        try:
            folder.retry.call(f"polling upload job {job_id}", poll)
        except SubmissionError:
            return False
        return True


def _common_beginning(texts: Sequence[str]) -> str:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(min(texts), max(texts), strict=False)) if texts else ()
    return "".join(one for one, _ in pairs)


def _objects(count: int) -> str:
    return "1 object" if count == 1 else f"{count} objects"
