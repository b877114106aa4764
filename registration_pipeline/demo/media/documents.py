"""PDF and text documents.

What does not belong here: file names. The PDF is the smallest form that ISO 32000-1 allows: five objects, a
cross-reference table and a trailer.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registration_pipeline.demo.media.subject import Subject

_FINDINGS = (
    "Lens clean, no condensation.",
    "Lane markings worn between kilometre 3 and 4.",
    "Two frames dropped during start-up.",
    "Exposure raised by one stop after sunset.",
    "No deviation from the calibration of last month.",
    "Microphone level below the limit near the tunnel.",
)


def _findings(subject: Subject) -> list[str]:
    return subject.random().sample(_FINDINGS, 3)


def render_text(subject: Subject) -> bytes:
    """Write a plain-text note in UTF-8."""
    lines = [f"Note {subject.number} ({subject.label})", "", *(f"- {finding}" for finding in _findings(subject))]
    return ("\n".join(lines) + "\n").encode()


def render_json(subject: Subject) -> bytes:
    """Write a sensor record as JSON."""
    random = subject.random()
    record = {
        "record": subject.number,
        "folder": subject.label,
        "speed_kilometres_per_hour": round(random.uniform(0, 120), 1),
        "temperature_celsius": round(random.uniform(-12, 34), 1),
        "findings": _findings(subject),
    }
    return (json.dumps(record, indent=2) + "\n").encode()


def render_html(subject: Subject) -> bytes:
    """Write a note as an HTML page."""
    items = "".join(f"<li>{escape(finding)}</li>" for finding in _findings(subject))
    title = escape(f"Note {subject.number}")
    page = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
    return f"{page}<body><h1>{title}</h1><ul>{items}</ul></body></html>\n".encode()


def render_pdf(subject: Subject) -> bytes:
    """Write a one-page inspection report as PDF 1.4."""
    page = _page_content(f"Inspection report {subject.number}", [subject.label, *_findings(subject)])
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R"
            b" /Resources << /Font << /F1 4 0 R >> >> >>"
        ),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
    )
    # The second line shows transfer programs that the file is binary (ISO 32000-1, 7.5.2).
    document = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(document)
    # Every entry of the table is exactly 20 bytes long, its line end included (7.5.4).
    document += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    document += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    document += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(document)


def _page_content(title: str, lines: list[str]) -> bytes:
    shown = "".join(f"0 -22 Td ({_pdf_text(line)}) Tj " for line in lines)
    bar = "0.16 0.38 0.66 rg 0 770 595 72 re f 1 g"
    head = f"BT /F1 24 Tf 56 796 Td ({_pdf_text(title)}) Tj ET"
    return f"{bar} {head} 0 g BT /F1 13 Tf 56 742 Td {shown}ET".encode("ascii")


def _pdf_text(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
