"""Images in formats that Encord's page does not name, such as GIF: Pillow opens them, and decodes nothing.

What does not belong here: the formats of Encord's page (``images.py``). Runs in a worker process (``worker.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from registration_pipeline.facts.media.picture import Picture
from registration_pipeline.facts.media.trouble import NotUnderstoodError

if TYPE_CHECKING:
    from typing import BinaryIO

    from registration_pipeline.facts.media.probed_file import ProbedFile

_FORMATS: Final = ("GIF", "JPEG2000", "PPM", "TGA", "PCX", "SGI", "PSD", "DDS", "ICO")
"""Those that Pillow opens by their header, without the rest of the file."""


def probe_picture(file: ProbedFile, key: str) -> dict[str, Any]:  # noqa: ARG001 - all probes are called alike
    """Return the block of media metadata.

    Raises:
        NotUnderstoodError: it is not an image that Pillow knows.
    """
    from PIL import Image

    Image.preinit()
    Image.init()
    start = file.read_at(0, 16)
    for name in _FORMATS:
        factory, accepts = Image.OPEN.get(name, (None, None))
        # Not Image.open: it refuses pictures of many pixels, which only matter to those who decode them.
        if factory is not None and (accepts is None or accepts(start) is True):
            file.seek(0)
            try:
                image: Any = factory(cast("BinaryIO", file), "")
            except Exception as error:
                # Pillow raises about anything for malformed bytes.
                if isinstance(error, MemoryError):
                    raise
                continue
            width, height = image.size
            return Picture(Image.MIME.get(name, "application/octet-stream"), width, height).block(file.size)
    raise NotUnderstoodError("is not an image: its first bytes are those of no format that is known")
