"""The product as it is, and the product with one of its precautions taken away.

What belongs here: a wrapper of the state or of Encord, or a number. The product itself is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def _as_it_is(thing: Any) -> Any:
    return thing


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a process is built with.

    Args:
        settle_seconds: how long it settles.
        is_leased: whether it takes the lease.
        store: wraps its state.
        gateway: wraps its Encord.
        checks_intents: whether the order of acts is looked at, as against what comes of it.
    """

    settle_seconds: float = 120.0
    is_leased: bool = True
    store: Callable[[Any], Any] = _as_it_is
    gateway: Callable[[Any], Any] = _as_it_is
    checks_intents: bool = True


GOOD = Variant()
UNSETTLED = Variant(settle_seconds=0)
