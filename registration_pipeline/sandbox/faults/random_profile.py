"""Faults by chance: which ones a random profile can draw, for which requests, and how often.

What does not belong here: what a fault is (values), and drawing (plan).
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import (
    JOB_KINDS,
    MALFORMED,
    PAST_TIMEOUT_SECONDS,
    REFUSALS,
    TOO_MANY_REQUESTS,
    UNIT_MESSAGES,
    Effect,
    Fate,
    Fault,
    Kind,
    When,
    require,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFaults:
    """A profile that strikes requests by chance: the n-th request to an endpoint meets the same fate for the same seed.

    Args:
        probability: of each request to be struck; 0 to 1.
        seed: of the draws.
        kinds: which families are drawn, each with the same share at every endpoint where it can happen.
        endpoints: that are struck; None: all.
        weights: other shares, by kind; kinds that are not named keep 1.
        delay_seconds: how long delayed replies are held; the default is past the SDK's timeout.
        late_seconds: how late jobs begin that were accepted while the start seemed to fail.
        retry_after: seconds in ``Retry-After``.
        share: of the units that a job registers before it is stuck, broken off or ends with units pending.
        unit_probability: with a kind drawn for a job whose units fail at first: of each of its units to fail.
        unit_failures: largest number of failures before such a unit succeeds.
        unit_messages: one of them is the unit's error.

    Raises:
        UsageError: if a probability is not from 0 to 1, a name is unknown or nothing can be drawn.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    probability: float
    seed: int
    kinds: tuple[Kind, ...] = tuple(kind for kind in Kind if kind is not Kind.REFUSAL)
    endpoints: tuple[Endpoint, ...] | None = None
    weights: Mapping[Kind, float] = field(default_factory=dict)
    delay_seconds: float = PAST_TIMEOUT_SECONDS
    late_seconds: float = 5.0
    retry_after: int = 1
    share: float = 0.5
    unit_probability: float = 0.02
    unit_failures: int = 2
    unit_messages: tuple[str, ...] = UNIT_MESSAGES

    def __post_init__(self) -> None:
        require(0 <= self.probability <= 1, f"probability is {self.probability}; write a number from 0 to 1")
        require(bool(self.kinds), "kinds is empty; name at least one")
        strange = [kind for kind in self.weights if kind not in self.kinds]
        require(not strange, f"weights names {', '.join(strange)}, which kinds does not")
        require(
            all(weight > 0 for weight in self.weights.values()), "weights must be above 0; leave the kind out of kinds"
        )
        for kind in self.kinds:
            self.variants(kind)  # raises if a value does not suit a fault

    def weight(self, kind: Kind) -> float:
        """The kind's share among those that can be drawn."""
        return self.weights.get(kind, 1.0)

    def applicable(self, endpoint: Endpoint) -> tuple[Kind, ...]:
        """The kinds that a request to the endpoint can meet."""
        if self.endpoints is not None and endpoint not in self.endpoints:
            return ()
        return tuple(kind for kind in self.kinds if endpoint is Endpoint.START_JOB or kind not in JOB_KINDS)

    def variants(self, kind: Kind) -> tuple[Fault, ...]:
        """The exact faults of a kind, drawn evenly."""
        if kind in JOB_KINDS:
            return self._job_variants(Fate(kind.removeprefix("job_")))
        if kind is Kind.MALFORMED:
            return tuple(
                Fault(effect=effect, when=when)
                for effect in Effect
                if effect in MALFORMED
                for when in (When.BEFORE, When.AFTER)
            )
        if kind in (Kind.STATUS, Kind.REFUSAL, Kind.THROTTLED):
            return self._status_variants(kind)
        effect, _, when = kind.partition("_")
        return (Fault(effect=Effect(effect), when=When(when), seconds=self.delay_seconds),)

    def _status_variants(self, kind: Kind) -> tuple[Fault, ...]:
        if kind is Kind.REFUSAL:
            return tuple(Fault(effect=Effect.STATUS, status=status) for status in sorted(REFUSALS))
        if kind is Kind.THROTTLED:
            plain = Fault(effect=Effect.STATUS, status=TOO_MANY_REQUESTS)
            seconds = Fault(effect=Effect.STATUS, status=TOO_MANY_REQUESTS, retry_after=self.retry_after)
            date = Fault(
                effect=Effect.STATUS, status=TOO_MANY_REQUESTS, retry_after=self.retry_after, retry_after_as_date=True
            )
            return (plain, seconds, date)
        # Odd successes come after the effect: that is what makes them odd. A failing gateway can be on either side.
        return (
            *(Fault(effect=Effect.STATUS, status=status, when=When.AFTER) for status in (201, 202, 204)),
            *(
                Fault(effect=Effect.STATUS, status=status, when=when)
                for status in (408, 500, 502, 503, 504)
                for when in (When.BEFORE, When.AFTER)
            ),
        )

    def _job_variants(self, fate: Fate) -> tuple[Fault, ...]:
        usual: dict[str, Any] = {
            "fate": fate,
            "share": self.share,
            "seconds": self.late_seconds,
            "unit_probability": self.unit_probability,
            "unit_failures": self.unit_failures,
            "unit_messages": self.unit_messages,
            "seed": self.seed,
        }
        if fate is Fate.LATE:
            return (
                Fault(effect=Effect.CUT, when=When.AFTER, **usual),
                Fault(effect=Effect.STATUS, status=504, when=When.AFTER, **usual),
            )
        return (Fault(effect=Effect.JOB, **usual),)
