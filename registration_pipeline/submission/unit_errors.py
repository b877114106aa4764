"""Which units a job's errors are about, and which of a unit's objects: a failed frame fails its whole unit.

Errors carry URLs and free text, no positions. An error of a unit of several objects may list all of their URLs and say in its
text which of them is bad, or list only that one, or neither.

What does not belong here: units that the job does not name (``verdicts.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from registration_pipeline.submission.reasons import classify_message
from registration_pipeline.submission.spread import UnitVerdict
from registration_pipeline.tracking.outcomes import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.submission.gateway import JobReport, UnitError


def decoded(url: str) -> str:
    """Return what two URLs have in common that mean the same object."""
    # Whether Encord gives URLs back as they were submitted or in an equivalent encoding is not known (contract, section 10).
    return unquote(url)


class FoundError(NamedTuple):
    """An error about a unit.

    Args:
        positions: of the unit's objects that it lists.
    """

    error: UnitError
    positions: tuple[int, ...]

    def verdict_on(self, unit: PlannedUnit) -> UnitVerdict:
        """Return what the error makes of its unit; the message names the object that it is about, if that is known."""
        cause, message = self._cause(unit), self.error.message
        named = unit.objects[cause or 0]
        # What a key is called says nothing about the error.
        reason = classify_message(message.replace(named.object_url, "").replace(named.key, ""))
        if cause is not None and named.key not in decoded(message):
            message = f"{named.key}: {message or 'Encord gave no text'}"
        return UnitVerdict(
            verdict=Verdict.FAILED,
            reason=reason,
            message=message,
            subtask_uuid=self.error.subtask_uuid,
            cause=cause,
        )

    def _cause(self, unit: PlannedUnit) -> int | None:
        """Return the position of the object that the error is about: the only one that it lists, or that its text names."""
        if len(unit.objects) == 1:
            return None
        return self.positions[0] if len(self.positions) == 1 else _named_in(decoded(self.error.message), unit)


def find_errors(units: Sequence[PlannedUnit], report: JobReport) -> tuple[dict[str, FoundError], set[str]]:
    """Return the error about each unit by unit id, and the decoded URLs that errors list and no unit has.

    Of several errors about a unit the one that lists the fewest of its objects counts: it says most about which is bad.
    """
    by_url = {decoded(url): error for error in report.unit_errors for url in error.object_urls}
    found: dict[str, FoundError] = {}
    unexpected = set(by_url)
    for unit in units if by_url else ():
        positions: dict[int, list[int]] = {}
        errors: dict[int, UnitError] = {}
        for position, entry in enumerate(unit.objects):
            url = decoded(entry.object_url)
            error = by_url.get(url)
            if error is not None:
                unexpected.discard(url)
                errors[id(error)] = error
                positions.setdefault(id(error), []).append(position)
        if errors:
            fewest = min(positions, key=lambda one: len(positions[one]))
            found[unit.unit_id] = FoundError(errors[fewest], tuple(positions[fewest]))
    return found, unexpected


def _named_in(text: str, unit: PlannedUnit) -> int | None:
    """Return the position of the object that the text names first, by its URL or by its key below a folder."""
    best: tuple[int, int, int] | None = None
    for position, entry in enumerate(unit.objects) if "/" in text else ():
        name = entry.key if "/" in entry.key else decoded(entry.object_url)
        begin = text.find(name)
        # Of two names that begin at the same place, the longer one is meant.
        if begin >= 0 and (best is None or (begin, -len(name)) < best[:2]):
            best = (begin, -len(name), position)
    return best[2] if best else None
