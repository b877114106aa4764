"""Sample documents: PDF files written with pypdf and qpdf, and text.

What does not belong here: what is expected of them.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pypdf import PdfWriter

from registration_pipeline.objects import MediaKind
from registration_pipeline_tests.media_samples.sample import Sample, output_of

if TYPE_CHECKING:
    from collections.abc import Callable

_UMLAUTS: Final = "Grüße aus Köln, und ein Zeichen mehr: 字\n" * 40


def written_pdf(path: Path, pages: int = 3) -> None:
    """Write a PDF file of blank pages."""
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(200, 300)
    writer.write(path)


def _by_qpdf(*arguments: str, pages: int = 5) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "plain.pdf"
            written_pdf(plain, pages)
            output_of("qpdf", *arguments, plain, path)

    return write


def _with_more_behind(path: Path) -> None:
    """Write a PDF file that was changed once: the second version is appended."""
    written_pdf(path, 2)
    writer = PdfWriter(path, incremental=True)
    writer.add_blank_page(100, 100)
    writer.write(path)


def _pdf(name: str, write: Callable[[Path], object], *, is_odd: bool = False) -> Sample:
    return Sample(name, MediaKind.PDF, write, is_odd)


def _text(name: str, content: bytes, *, is_odd: bool = False) -> Sample:
    return Sample(name, MediaKind.TEXT, lambda path: path.write_bytes(content), is_odd)


SAMPLES: Final = (
    _pdf("plain.pdf", written_pdf),
    _pdf("many-pages.pdf", lambda path: written_pdf(path, 2_000)),
    _pdf("linearised.pdf", _by_qpdf("--linearize"), is_odd=True),
    _pdf("packed.pdf", _by_qpdf("--object-streams=generate"), is_odd=True),
    _pdf("encrypted.pdf", _by_qpdf("--encrypt", "", "owner", "256", "--"), is_odd=True),
    _pdf(
        "encrypted-packed.pdf",
        _by_qpdf("--encrypt", "", "owner", "256", "--", "--object-streams=generate"),
        is_odd=True,
    ),
    _pdf("changed.pdf", _with_more_behind, is_odd=True),
    _text("plain.txt", b"plain text\n" * 100),
    _text("mark.txt", b"\xef\xbb\xbf" + _UMLAUTS.encode(), is_odd=True),
    _text("wide.txt", _UMLAUTS.encode("utf-16"), is_odd=True),
    _text("latin.txt", "Grüße aus Köln\n".encode("latin-1") * 50, is_odd=True),
    _text("page.html", b"<!DOCTYPE html>\n<html><body>text</body></html>\n"),
    _text("values.json", json.dumps({"key": ["value"] * 100}).encode()),
    _text("tree.xml", b'<?xml version="1.0" encoding="UTF-8"?>\n<tree><leaf/></tree>\n'),
)
