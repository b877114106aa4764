"""A stage that yields what it does as it comes, for callers that use each step and want the result at the end."""

from collections.abc import Generator
from typing import Generic, Self, TypeVar

Step_co = TypeVar("Step_co", covariant=True)
End = TypeVar("End")


class Steps(Generic[Step_co, End]):
    """The steps of a generator to iterate over; what it returned is ``end`` when they are over.

    Close it where it is made (``contextlib.closing``), and do not leave that to the collector of garbage: an interruption may
    be kept by the caller, with all it refers to, and threads of the stage would go on.

    Args:
        generator: a stage.
    """

    end: End

    def __init__(self, generator: Generator[Step_co, None, End]) -> None:
        self._generator = generator

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Step_co:
        try:
            return next(self._generator)
        except StopIteration as stopped:
            self.end = stopped.value
            raise

    def close(self) -> None:
        """End the stage, also in the middle."""
        self._generator.close()
