"""What is understood of metadata: media metadata in both forms of a manifest, and client metadata of an upsert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import KINDS
from registration_pipeline.planning.media_blocks import media_block
from registration_pipeline.rehearsal.findings.finding import Question, quoted
from registration_pipeline.rehearsal.manifests import CHANGED_KEY, CHANGED_VALUE, KEPT_KEY
from registration_pipeline.rehearsal.observations import Step
from registration_pipeline.settings.metadata import SubmitAs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.objects import MediaKind
    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.observations import Observations

    Names = dict[MediaKind, frozenset[str]]

_NEVER_SHOWN: Final = frozenset({"num_pages"})
"""Items have no field for it."""
_USE_TYPED: Final = "Set `submit_as: data_items` for sources with `media_metadata: probe`"
_USE_JSON: Final = "Leave `submit_as: json` for sources with `media_metadata: probe`."


def media_in_json(seen: Observations) -> Finding:
    """Whether the names of media metadata in the JSON form are those that Encord reads."""
    ask = Question("media_json", "media metadata in the JSON form is understood as this version spells it")
    if (refusal := seen.refused.get(Step.MEDIA_JSON)) is not None:
        return ask.differs(f"Encord refused the manifest: {quoted(refusal)}", f"{_USE_TYPED}, if that is understood.")
    sent, shown, typed = _sent(seen, Step.MEDIA_JSON), _shown(seen, Step.MEDIA_JSON), _shown(seen, Step.MEDIA_TYPED)
    failed = [one.kind for one in seen.media.get(Step.MEDIA_JSON, ()) if one.shown is None and one.kind in typed]
    if failed:
        names = ", ".join(f"`{KINDS[kind].list_key}`" for kind in failed)
        return ask.differs(
            f"objects of {names} are not registered with it, and they are in the typed form{_errors(seen, Step.MEDIA_JSON)}",
            f"{_USE_TYPED}: in the JSON form they would fail.",
        )
    if not sent:
        return ask.open(_why(seen, Step.MEDIA_JSON))
    lost = _without(typed, shown)
    if lost:
        return ask.differs(
            f"not understood: {_said(lost, SubmitAs.JSON)}; items show them when they are sent in the typed form",
            f"{_USE_TYPED}: in the JSON form Encord ignores these without a word, and reads the objects itself.",
        )
    where = " in either form" if _sent(seen, Step.MEDIA_TYPED) else " there; the typed form was not seen"
    return _as_far_as_shown(ask, sent, shown, SubmitAs.JSON, where)


def media_in_typed_form(seen: Observations) -> Finding:
    """Whether media metadata of the typed form is what items show."""
    ask = Question("media_typed", "media metadata in the typed form (`submit_as: data_items`) is what items show")
    if (refusal := seen.refused.get(Step.MEDIA_TYPED)) is not None:
        return ask.differs(f"Encord refused the items: {quoted(refusal)}", _USE_JSON)
    sent, shown, in_json = _sent(seen, Step.MEDIA_TYPED), _shown(seen, Step.MEDIA_TYPED), _shown(seen, Step.MEDIA_JSON)
    if not sent:
        return ask.open(_why(seen, Step.MEDIA_TYPED))
    lost = _without(in_json, shown)
    if lost:
        said = _said(lost, SubmitAs.DATA_ITEMS)
        return ask.differs(f"not understood: {said}; items show them when they are sent as JSON", _USE_JSON)
    return _as_far_as_shown(ask, sent, shown, SubmitAs.DATA_ITEMS, "")


def _as_far_as_shown(ask: Question, sent: Names, shown: Names, form: SubmitAs, where: str) -> Finding:
    missing = _without(sent, shown)
    if not missing:
        return ask.holds(f"items show {_said(shown, form)}")
    if not shown:
        return ask.open(f"items show none of the values that were sent{where}: Encord may show what it reads itself")
    return ask.settled(f"items show {_said(shown, form)}, and do not show {_said(missing, form)}{where}")


def upserted(seen: Observations) -> Finding:
    """Whether client metadata of an upsert is merged."""
    ask = Question("upserted_metadata", "whether an upsert keeps the client metadata that it does not name")
    off = "Leave `upsert_metadata: false`"
    if (refusal := seen.refused.get(Step.UPSERT)) is not None:
        return ask.differs(f"Encord refused the manifest: {quoted(refusal)}", f"{off}: every upsert would fail.")
    job = seen.jobs.get(Step.UPSERT)
    if job is None or seen.upserted is None:
        return ask.open("no item with client metadata was there, or the rehearsal did not come to it")
    if job.added:
        return ask.differs("the object was registered once more", f"{off}: an upsert would double objects.")
    before, after = seen.upserted
    if after.get(CHANGED_KEY) != CHANGED_VALUE:
        return ask.differs(
            f"the item does not show what was sent, job {job.report.status}",
            f"{off}: units would be sent again and again, and fail as `metadata_not_shown`.",
        )
    return _kept(ask, before, after)


def _kept(ask: Question, before: Mapping[str, object], after: Mapping[str, object]) -> Finding:
    if KEPT_KEY not in before:
        return ask.open("the item did not show the client metadata that it was registered with")
    if KEPT_KEY in after:
        return ask.settled(
            "yes: it is merged",
            "A field that is removed from your metadata stays in Encord with `upsert_metadata`: remove it there.",
        )
    return ask.settled(
        "no: it is replaced",
        "With `upsert_metadata`, a field that is removed from your metadata goes when another field of its unit changes. So "
        "does client metadata that people or other tools gave the item: use it only where nothing else writes any.",
    )


def _sent(seen: Observations, step: Step) -> Names:
    """Return what was sent of objects that are registered, as far as items could show it."""
    trials = (one for one in seen.media.get(step, ()) if one.shown is not None)
    return {one.kind: names for one in trials if (names := frozenset(one.sent) - _NEVER_SHOWN)}


def _shown(seen: Observations, step: Step) -> Names:
    return {one.kind: one.matching for one in seen.media.get(step, ()) if one.matching}


def _without(names: Names, others: Names) -> Names:
    left = {kind: of - others.get(kind, frozenset()) for kind, of in names.items()}
    return {kind: of for kind, of in left.items() if of}


def _said(names: Names, form: SubmitAs) -> str:
    parts = []
    for kind, of in names.items():
        block = media_block(kind, form)
        spelled = block.names(form) if block is not None else {}
        parts.append(f"{', '.join(sorted(spelled.get(name, name) for name in of))} of `{KINDS[kind].list_key}`")
    return " and ".join(parts)


def _why(seen: Observations, step: Step) -> str:
    if any(one.shown is not None for one in seen.media.get(step, ())):
        return "items have no field for what was sent, so that it can't be seen"
    if seen.media.get(step):
        return f"none of the objects was registered with it{_errors(seen, step)}"
    if step in seen.media:
        return "the kinds of the source have no media metadata"
    return "the rehearsal did not come to it, or the kinds of the source have no media metadata"


def _errors(seen: Observations, step: Step) -> str:
    job = seen.jobs.get(step)
    texts = {*job.report.errors, *(error.message for error in job.report.unit_errors)} if job is not None else set()
    return f": {'; '.join(quoted(text) for text in sorted(texts))}" if texts else ""
