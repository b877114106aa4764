"""Lets a host project do something around each step of a source.

What does not belong here: the steps; and what a host may change before its project is loaded (``asset_specs.py``).
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from registration_pipeline.orchestration.names import SourceNames

Body = Callable[..., Any]


def hosted(own: SourceNames, stage: str) -> Callable[[Body], Body]:
    """Decorate the body of a step below Dagster's decorator.

    Args:
        own: the names of the source; they know the host's function.
        stage: of the step, e.g. ``registration``.

    Returns:
        a decorator that returns the body itself where no host wants to be asked.
    """
    around = own.around

    def decorate(body: Body) -> Body:
        if around is None:
            return body

        # Dagster tells a generator by its code, not by what it returns.
        @functools.wraps(body)
        def wrapped(context: Any, *args: Any, **named: Any) -> Iterator[Any]:
            yield from around(context, own.source, stage, _events(body, context, *args, **named))

        return wrapped

    return decorate


def _events(body: Body, *args: Any, **named: Any) -> Iterator[Any]:
    """Run the body when its first event is asked for."""
    if inspect.isgeneratorfunction(body):
        yield from body(*args, **named)
    else:
        yield body(*args, **named)
