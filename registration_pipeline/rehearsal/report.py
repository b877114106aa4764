"""The result of a rehearsal as one document: what was tried where, what was found, which settings follow.

It holds no keys, URLs, credentials or texts with URLs, so that it can be attached to a report.

What does not belong here: printing it (``cli/rehearse.py``).
"""

from __future__ import annotations

import platform
import re
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline import __version__
from registration_pipeline.rehearsal.findings.finding import Verdict, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registration_pipeline.rehearsal.advice import Advice
    from registration_pipeline.rehearsal.choice import Choice
    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.folder import Leftovers
    from registration_pipeline.rehearsal.observations import JobTrial, Observations

_SECRET: Final = re.compile(
    r"(?i)\b(X-(?:Amz|Goog)-[A-Za-z-]+|AWSAccessKeyId|Signature|sig|token|password|secret)=[^&\s\"']+"
)
_SHORTEST: Final = 4
"""A shorter name than this is in many words, and says nothing."""
FORM: Final = 1
"""Of the JSON document; raised when a key changes its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a rehearsal came to.

    Args:
        source: its name.
        domain: which Encord.
        folder: name of the folder that was made.
        folder_uuid: None: it was not made.
        stopped: why the rehearsal ended before its last step; None: it did not.
        exit_status: of what stopped it; 0 where nothing did.
        leftovers: what could not be removed; None: nothing is left.
    """

    source: str
    domain: str
    folder: str
    folder_uuid: str | None
    choice: Choice
    seen: Observations
    findings: Sequence[Finding]
    advice: Sequence[Advice]
    started_at: datetime
    finished_at: datetime
    stopped: str | None = None
    exit_status: int = 0
    leftovers: Leftovers | None = None

    def of(self, verdict: Verdict) -> list[Finding]:
        """Return the findings with a verdict."""
        return [finding for finding in self.findings if finding.verdict is verdict]

    def document(self) -> dict[str, Any]:
        """Return the JSON document, without what names an object of the user's."""
        hidden = _Hidden(self.choice)
        document: dict[str, Any] = hidden.in_value(self._document())
        return document

    def _document(self) -> dict[str, Any]:
        return {
            "form": FORM,
            "source": self.source,
            "domain": self.domain,
            "versions": {
                "registration-pipeline": __version__,
                "encord": version("encord"),
                "python": platform.python_version(),
            },
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "folder": {"name": self.folder, "uuid": self.folder_uuid, "is_removed": self.leftovers is None},
            "left": list(self.leftovers.item_uuids) if self.leftovers else [],
            "objects": self._objects(),
            "stopped": quoted(self.stopped) if self.stopped else None,
            "counts": {verdict.value: len(self.of(verdict)) for verdict in Verdict},
            "findings": [asdict(finding) for finding in self.findings],
            "settings": [{**asdict(advice), "is_change": advice.is_change} for advice in self.advice],
            "jobs": {name: _job(job) for name, job in self.seen.all_jobs().items()},
            "refused": {step.value: quoted(text) for step, text in self.seen.refused.items()},
            "requests": len(self.seen.replies),
        }

    def _objects(self) -> list[dict[str, Any]]:
        units = (*self.choice.first, *self.choice.new, *self.choice.others)
        return [{"kind": unit.kind.value, "bytes": unit.objects[0].size} for unit in units]


class _Hidden:
    """Replaces keys and URLs of the chosen objects, and what signatures look like, in texts of others.

    Args:
        choice: whose objects.
    """

    def __init__(self, choice: Choice) -> None:
        units = (*choice.first, *choice.new, *choice.others, choice.missing)
        keys = {unit.objects[0].key for unit in units}
        urls = {unit.objects[0].object_url for unit in units}
        names = {text.rpartition("/")[2] for text in (*keys, *urls)}
        # The longest first: a name is a part of its key, and a key may be one of a URL.
        texts = sorted((text for text in {*keys, *urls, *names} if len(text) >= _SHORTEST), key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, texts)))

    def in_value(self, value: Any) -> Any:
        """Return a JSON value with its texts replaced; keys of objects are ours."""
        if isinstance(value, dict):
            return {key: self.in_value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.in_value(item) for item in value]
        if not isinstance(value, str):
            return value
        return _SECRET.sub(r"\1=<hidden>", self._names.sub("<object>", value))


def _job(job: JobTrial) -> dict[str, Any]:
    report = job.report
    return {
        "status": report.status.value,
        "units": len(job.units),
        "seconds": round(job.seconds, 3),
        "items_listed": len(report.items),
        "errors_listed": len(report.unit_errors),
        "units_done": report.units_done,
        "units_error": report.units_error,
        "units_pending": report.units_pending,
        "units_cancelled": report.units_cancelled,
        "items_before": len(job.before),
        "items_after": len(job.listed),
        "items_added": len(job.added),
        "counted": job.counted,
        "lag_seconds": None if job.lag_seconds is None else round(job.lag_seconds, 3),
        "count_lag_seconds": None if job.count_lag_seconds is None else round(job.count_lag_seconds, 3),
    }
