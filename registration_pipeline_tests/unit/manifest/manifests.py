"""Manifests, and what validating them finds: for the tests of the validation.

What does not belong here: the cases.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from registration_pipeline.manifest.validate import validate_manifest

if TYPE_CHECKING:
    from registration_pipeline.limits import ManifestLimits


def item(name: str = "a", **keys: Any) -> dict[str, Any]:
    return {"objectUrl": f"s3://bucket/{name}", "title": name, **keys}


def manifest(**keys: Any) -> bytes:
    return json.dumps({"skip_duplicate_urls": True, **keys}).encode()


def found(data: bytes, limits: ManifestLimits | None = None) -> list[str]:
    return [str(violation) for violation in validate_manifest(data, limits)]


EVERY_KIND = manifest(
    images=[
        item("i", clientMetadata={"a": 1}, createVideo=False, imageMetadata={"mimeType": "image/png", "fileSize": 3}),
        item("j"),
    ],
    videos=[item("v", videoMetadata={"fps": 29.97, "duration": 3, "mime_type": "video/mp4"})],
    audio=[item("s", audioMetadata={"duration_seconds": 1.5, "codec": "flac"})],
    pdfs=[item("p", pdfMetadata={"fileSize": 1, "numPages": 2})],
    text=[item("t", textMetadata={"fileSize": 1, "mime_type": "text/plain"})],
    nifti=[item("n")],
    image_groups=[
        {"title": "g", "createVideo": False, "clientMetadata": {}}
        | {f"objectUrl_{number}": f"https://b.example/g{number}" for number in range(12)}
    ],
    dicom_series=[{"title": "d", "objectUrl_0": "s3://bucket/d0", "objectUrl_1": "s3://bucket/d1"}],
    upsert_metadata=True,
)
