"""What an upload job says of itself when a fault makes it say less, or something else, than what happened.

What does not belong here: what a job does (``registration.py``); a fate that is not named here says the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registration_pipeline.sandbox.faults.values import Fate

if TYPE_CHECKING:
    from collections.abc import Callable

    State = dict[str, Any]

_NO_ERRORS: dict[str, Any] = {"unitErrors": [], "unitsErrorCount": 0}


def as_told(state: State, fate: str | None) -> State:
    """Return the state that a poll shows.

    Args:
        state: the job's true state.
        fate: what a fault makes of the job.
    """
    change = _CHANGES.get(fate or "")
    return {**state, **change(state)} if change else state


def _without_urls(state: State) -> State:
    return {"unitErrors": [{**error, "objectUrls": []} for error in state["unitErrors"]]}


def _first_error_again(state: State) -> State:
    return {"unitErrors": state["unitErrors"][:1] * len(state["unitErrors"])}


def _nothing_named(state: State) -> State:
    left = state["unitsPendingCount"] + state["unitsCancelledCount"]
    return {"itemsWithNames": [], "unitsPendingCount": left, "unitsDoneCount": 0, "unitsCancelledCount": 0}


_CHANGES: dict[str, Callable[[State], State]] = {
    Fate.NO_URLS: _without_urls,
    Fate.TWICE: _first_error_again,
    Fate.TEXT_ONLY: lambda _: _NO_ERRORS,
    Fate.NOWHERE: lambda _: {**_NO_ERRORS, "errors": []},
    Fate.UNNAMED: lambda _: {"itemsWithNames": []},
    Fate.PENDING: _nothing_named,
}
"""What is replaced in the true state."""
