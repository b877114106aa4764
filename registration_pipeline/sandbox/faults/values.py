"""A scripted fault as a value: what goes wrong, on which requests, how often.

What does not belong here: faults by chance (random_profile), which are in force and how often they struck (plan), striking
requests (gate) and what becomes of jobs (submissions, registration).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPMethod
from typing import ClassVar

from pydantic import ConfigDict

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.api.endpoints import Endpoint

PAST_TIMEOUT_SECONDS = 200.0
"""Longer than the 180 s that Encord's SDK waits for an answer."""

UNIT_MESSAGES = (
    "Could not read object: 503 Slow Down",
    "Could not read object: connection timed out",
    "Could not read object: 500 Internal Server Error",
    "Internal error while processing the data unit",
)
"""What a storage service and a busy decoder say for a while."""


class Effect(StrEnum):
    """What the client sees."""

    STATUS = "status"
    """An HTTP status with a JSON body."""
    CUT = "cut"
    """The connection is closed; midway: after half of the reply."""
    DELAY = "delay"
    """The reply comes late; before: so does the effect, even if the client has gone by then."""
    NOT_JSON = "not_json"
    """Status 200 with plain text."""
    HTML = "html"
    """Status 200 with a web page, as a proxy in between may send."""
    WRONG_SHAPE = "wrong_shape"
    """Status 200 with JSON of another shape."""
    EMPTY = "empty"
    """Status 200 without a body."""
    TRUNCATED = "truncated"
    """Status 200 with half of the JSON."""
    DRIP = "drip"
    """Status 200 and then a blank a few times a second, for ever."""
    BOMB = "bomb"
    """Status 200 and a megabyte of gzip that unpacks to JSON of a gigabyte."""
    ENDLESS = "endless"
    """A page that says that there is another one, under a token that was never given."""
    QUERY_REFUSED = "query_refused"
    """Status 200 with a refusal in the envelope of the older API; ``message`` is its code."""
    HALF_LINKED = "half_linked"
    """Half of the items are linked to the dataset, then the status is that of the fault."""
    JOB = "job"
    """The start call is answered as usual; what is wrong is the job's ``fate``."""


class Form(StrEnum):
    """The body of an ``Effect.STATUS`` that is not a success."""

    OWN = "own"
    """JSON as Encord's API writes it."""
    HTML = "html"
    """The error page of a plain proxy."""
    EMPTY = "empty"
    LOOK_ALIKE = "look_alike"
    """JSON of an API gateway in between, which has a ``message`` too."""


class When(StrEnum):
    """Whether the request has had its effect when the fault strikes."""

    BEFORE = "before"
    AFTER = "after"
    MIDWAY = "midway"
    """After the effect and half of the reply; cuts only."""


class Fate(StrEnum):
    """What becomes of an upload job whose start was accepted."""

    STUCK = "stuck"
    """Stays ``PENDING`` until it is cancelled."""
    LOST = "lost"
    """Registers its units, but its id is unknown (404) for ever."""
    NEVER = "never"
    """The same, and it never registers anything."""
    ERROR = "error"
    """Ends ``ERROR`` part of the way; what was registered stays, or goes with ``rollback_on_error``."""
    CANCELLED = "cancelled"
    """Ends ``CANCELLED`` part of the way."""
    LATE = "late"
    """Begins only after a while, whatever was answered to the start."""
    UNITS = "units"
    """Some of its units fail a few times before they succeed."""
    NO_URLS = "no_urls"
    """Units fail as with ``units``, at least one; the errors that it lists don't say which."""
    TWICE = "twice"
    """Units fail, at least two; it lists the first error as often as there are errors, and none of the others."""
    TEXT_ONLY = "text_only"
    """Units fail, at least one; only a text of the job says so: no error is listed or counted."""
    NOWHERE = "nowhere"
    """Units fail, at least one; they are in no list and no count."""
    UNNAMED = "unnamed"
    """Registers its units and names none of them, but counts them as done."""
    PENDING = "pending"
    """Ends ``DONE`` part of the way; names nothing, and counts what it did not come to as pending."""


class Kind(StrEnum):
    """A family of faults; a random profile shares its strikes evenly among kinds, then among a kind's variants."""

    STATUS = "status"
    REFUSAL = "refusal"
    """4xx answers that say that the request itself is at fault, though it is not."""
    THROTTLED = "throttled"
    GATEWAY = "gateway"
    """A gateway in between forwards the request and then refuses it, or sends it elsewhere, for itself."""
    CUT_BEFORE = "cut_before"
    CUT_AFTER = "cut_after"
    CUT_MIDWAY = "cut_midway"
    DELAY_BEFORE = "delay_before"
    DELAY_AFTER = "delay_after"
    MALFORMED = "malformed"
    UNBOUNDED = "unbounded"
    """Replies that never end, or hold more than a client should take."""
    JOB_STUCK = "job_stuck"
    JOB_LOST = "job_lost"
    JOB_NEVER = "job_never"
    JOB_ERROR = "job_error"
    JOB_CANCELLED = "job_cancelled"
    JOB_LATE = "job_late"
    JOB_UNITS = "job_units"
    JOB_NO_URLS = "job_no_urls"
    JOB_TWICE = "job_twice"
    JOB_TEXT_ONLY = "job_text_only"
    JOB_NOWHERE = "job_nowhere"
    JOB_UNNAMED = "job_unnamed"
    JOB_PENDING = "job_pending"


FAILING_UNITS = {Fate.UNITS: 0, Fate.NO_URLS: 1, Fate.TWICE: 2, Fate.TEXT_ONLY: 1, Fate.NOWHERE: 1}
"""Fates of which some units fail at first, and how many at least, as far as there are units."""
LOST_EVIDENCE = (Fate.NO_URLS, Fate.TWICE, Fate.TEXT_ONLY, Fate.NOWHERE, Fate.UNNAMED, Fate.PENDING)
"""Fates of jobs that end ``DONE`` and don't say what became of every unit."""
JOB_KINDS = frozenset(kind for kind in Kind if kind.startswith("job_"))
"""Kinds that only a start call can meet."""
TOO_MANY_REQUESTS = 429
_STATUSES = range(200, 600)
REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 413, 422})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
GATEWAY_ANSWERS = REFUSALS | {TOO_MANY_REQUESTS} | REDIRECTS
"""Answers below 500 that say that nothing was done; after the effect, only a gateway in between can give them."""
MALFORMED = frozenset({Effect.NOT_JSON, Effect.HTML, Effect.WRONG_SHAPE, Effect.EMPTY, Effect.TRUNCATED})

UNBOUNDED = frozenset({Effect.DRIP, Effect.BOMB, Effect.ENDLESS})
_KINDS = {
    **dict.fromkeys(MALFORMED, Kind.MALFORMED),
    **dict.fromkeys(UNBOUNDED, Kind.UNBOUNDED),
    Effect.QUERY_REFUSED: Kind.REFUSAL,
    Effect.HALF_LINKED: Kind.STATUS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault and the requests that it strikes.

    Args:
        effect: what the client sees.
        when: before or after the request takes effect.
        endpoint: only requests to this one; None: to any.
        method: HTTP method; ``*``: any.
        path: regular expression, searched for anywhere in the request path (without the query).
        times: how many requests it strikes; None: all.
        skip: how many matching requests pass first.
        status: of ``Effect.STATUS``.
        message: said by the answer's body; None: a usual one.
        form: of that body. A redirect always leads to the same place once more.
        retry_after: seconds of a ``Retry-After`` header; None: no header.
        retry_after_as_date: write that header as an HTTP date.
        seconds: of ``Effect.DELAY``, and how late a late job begins.
        fate: of the upload job, if the request is an accepted start.
        share: of the units that a job registers before it is stuck, broken off or ends with units pending; 0 to 1.
        unit_probability: with a fate of ``FAILING_UNITS``: of each unit to fail at first; 0 to 1.
        unit_failures: with these: largest number of failures before the unit succeeds.
        unit_messages: with these: one of them is the unit's error.
        seed: with these: which units, how often and what they say follows from it and the URL.

    Raises:
        UsageError: if the values don't fit together.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    effect: Effect
    when: When = When.BEFORE
    endpoint: Endpoint | None = None
    method: str = "*"
    path: str = ""
    times: int | None = 1
    skip: int = 0
    status: int = 503
    message: str | None = None
    form: Form = Form.OWN
    retry_after: int | None = None
    retry_after_as_date: bool = False
    seconds: float = PAST_TIMEOUT_SECONDS
    fate: Fate | None = None
    share: float = 0.5
    unit_probability: float = 1.0
    unit_failures: int = 1
    unit_messages: tuple[str, ...] = UNIT_MESSAGES
    seed: int = 0

    def __post_init__(self) -> None:
        _check_target(self)
        require(
            self.effect is not Effect.HALF_LINKED or self.when is When.AFTER, "effect half_linked needs when: after"
        )
        require((self.effect is Effect.JOB) <= (self.fate is not None), "effect job needs a fate")
        require(
            self.fate is None or self.effect is Effect.JOB or self.when is not When.BEFORE,
            "a fate needs a start that takes effect: say when: after",
        )
        require(self.when is not When.MIDWAY or self.effect is Effect.CUT, "when: midway is for effect cut only")
        require(self.status in _STATUSES, f"status is {self.status}; write a number from 200 to 599")
        require(self.seconds >= 0, f"seconds is {self.seconds}; write 0 or more")
        require(0 <= self.share <= 1, f"share is {self.share}; write a number from 0 to 1")
        require(0 <= self.unit_probability <= 1, f"unit_probability is {self.unit_probability}; write 0 to 1")
        require(self.unit_failures >= 1, f"unit_failures is {self.unit_failures}; write 1 or more")
        require(bool(self.unit_messages), "unit_messages is empty; write at least one message")

    @property
    def way(self) -> str:
        """The exact form, as counted: e.g. ``cut_after``, ``status_503_before``, ``html_after``, ``job_stuck``."""
        reply = f"{self.effect}_{self.when}"
        if self.effect is Effect.JOB:
            return f"job_{self.fate}"
        if self.effect is Effect.STATUS:
            form = "" if self.retry_after is None else "_date" if self.retry_after_as_date else "_seconds"
            body = "" if self.form is Form.OWN else f"_{self.form}"
            reply = f"status_{self.status}{form}{body}_{self.when}"
        return reply if self.fate is None else f"{reply}+job_{self.fate}"

    @property
    def kind(self) -> Kind:
        """The family."""
        if self.fate is not None:
            return Kind(f"job_{self.fate}")
        if self.effect is Effect.STATUS:
            if self.when is When.AFTER and self.status in GATEWAY_ANSWERS:
                return Kind.GATEWAY
            if self.status == TOO_MANY_REQUESTS:
                return Kind.THROTTLED
            return Kind.REFUSAL if self.status in REFUSALS else Kind.STATUS
        return _KINDS.get(self.effect) or Kind(f"{self.effect}_{self.when}")

    def matches(self, *, endpoint: Endpoint, method: str, path: str) -> bool:
        """Whether the fault may strike this request."""
        if self.effect is Effect.JOB and endpoint is not Endpoint.START_JOB:
            return False
        if self.effect is Effect.HALF_LINKED and endpoint is not Endpoint.LINK_ITEMS:
            return False
        return (
            self.endpoint in (None, endpoint)
            and self.method in ("*", method)
            and re.search(self.path, path) is not None
        )


def require(holds: bool, message: str) -> None:  # noqa: FBT001 - a condition
    """Raise a usage error about a fault unless a condition holds."""
    if not holds:
        raise UsageError(f"fault: {message}")


def _check_target(fault: Fault) -> None:
    methods = ("*", *(method.value for method in HTTPMethod))
    require(fault.method in methods, f"method {fault.method!r} is unknown; write {', '.join(methods)}")
    try:
        re.compile(fault.path)
    except re.error as error:
        raise UsageError(f"fault: path {fault.path!r} is not a regular expression: {error}; fix it") from error
    require(fault.times is None or fault.times >= 1, f"times is {fault.times}; write 1 or more, or null for always")
    require(fault.skip >= 0, f"skip is {fault.skip}; write 0 or more")
