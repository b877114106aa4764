"""How many pages a PDF file has: pypdf reads the table at its end, the catalogue and the root of the page tree.

What does not belong here: text and pictures of pages. Runs in a worker process (``worker.py``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, cast

from registration_pipeline.facts.media.trouble import NotUnderstoodError

if TYPE_CHECKING:
    from typing import BinaryIO

    from registration_pipeline.facts.media.probed_file import ProbedFile

MOST_REPAIRED_BYTES: Final = 8 << 20
"""A PDF whose table is damaged is searched through for its objects, as viewers do, if it is not longer than this."""

_MOST_PAGES: Final = 10_000_000


def probe_pdf(file: ProbedFile, key: str) -> dict[str, Any]:  # noqa: ARG001 - all probes are called alike
    """Return the block of media metadata.

    Raises:
        NotUnderstoodError: it is not a PDF file, is damaged, or can't be read without a password.
    """
    if b"%PDF-" not in file.read_at(0, 1024):
        raise NotUnderstoodError("is not a PDF file")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)  # its warnings quote the file
    try:
        pages = _pages(file, is_strict=True)
    except NotUnderstoodError:
        raise
    except Exception as error:
        # pypdf raises about anything for malformed bytes.
        if isinstance(error, MemoryError) or file.trouble is not None or file.size > MOST_REPAIRED_BYTES:
            raise
        pages = _pages(file, is_strict=False)
    return {"file_size": file.size, "num_pages": pages}


def _pages(file: ProbedFile, *, is_strict: bool) -> int:
    from pypdf import PdfReader
    from pypdf.errors import FileNotDecryptedError, WrongPasswordError

    file.seek(0)
    try:
        # Strictly: otherwise pypdf visits every object of the file first.
        reader = PdfReader(cast("BinaryIO", file), strict=is_strict, password=None)
        if reader.is_encrypted:
            reader.decrypt("")  # the number of pages is not secret, but may be packed together with what is
        root: Any = reader.trailer["/Root"]
        count: Any = root.get_object()["/Pages"].get_object()["/Count"]
        pages = int(count.get_object() if hasattr(count, "get_object") else count)
    except (FileNotDecryptedError, WrongPasswordError):
        raise NotUnderstoodError("is a PDF file that can't be read without its password") from None
    if not 0 < pages <= _MOST_PAGES:
        raise NotUnderstoodError("is a PDF file that does not say how many pages it has")
    return pages
