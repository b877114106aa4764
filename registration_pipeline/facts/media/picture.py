"""An image as its header describes it. How headers are read does not belong here."""

from __future__ import annotations

from typing import Any, NamedTuple

from registration_pipeline.facts.media.trouble import NotUnderstoodError


class Picture(NamedTuple):
    """An image as its header describes it.

    Args:
        mime_type: of its format.
        width: of the stored picture, in pixels.
        height: of the stored picture.
        is_turned: whether it is shown turned by a quarter.
    """

    mime_type: str
    width: int
    height: int
    is_turned: bool = False

    def block(self, size: int) -> dict[str, Any]:
        """Return the block of media metadata, with the sides as they are shown.

        Raises:
            NotUnderstoodError: a side has no length.
        """
        if self.width < 1 or self.height < 1:
            raise NotUnderstoodError("has a header that gives it no width or height")
        sides = (self.height, self.width) if self.is_turned else (self.width, self.height)
        return {"mime_type": self.mime_type, "file_size": size, "width": sides[0], "height": sides[1]}
