"""Valid small media files by name: the bytes of a file are a function of its path and the seed.

What does not belong here: how one format is written (``pictures``, ``mp4``, ``signals``, ``documents``) and which files
a demo source consists of (``layout``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.demo.extra import PILLOW, require_demo_extra
from registration_pipeline.demo.media.documents import render_html, render_json, render_pdf, render_text
from registration_pipeline.demo.media.mp4 import Clip, mux_mp4, mux_quicktime
from registration_pipeline.demo.media.signals import render_nifti, render_nifti_gz, render_wav
from registration_pipeline.demo.media.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


_CLIP_FRAMES = 8
_CLIP_FRAMES_PER_SECOND = 4


def write_media(folder: Path, name: str, *, seed: int) -> Path:
    """Write the valid file ``name`` below ``folder`` unless it is there with the same bytes."""
    return write_bytes(folder / name, media_bytes(name, seed=seed))


def write_bytes(path: Path, content: bytes) -> Path:
    """Make ``path`` hold ``content``; leave it alone if it does already."""
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path


def media_bytes(name: str, *, seed: int) -> bytes:
    """Return the valid bytes of the file ``name``.

    Args:
        name: ``/``-separated path below the generated folder; its ending, in any case, decides the format.
        seed: of the whole generation.

    Raises:
        UsageError: pillow is not installed.
        ValueError: no format has this ending.
    """
    lower = name.lower()
    for ending, render in _RENDERERS.items():
        if lower.endswith(ending):
            return render(Subject(name, seed))
    raise ValueError(f"{name!r} has none of the endings that can be generated: {', '.join(_RENDERERS)}")


def content_type(name: str) -> str:
    """Return the MIME type that an uploader would give the file; ``application/octet-stream`` for unknown endings."""
    lower = name.lower()
    return next((mime for ending, mime in _CONTENT_TYPES.items() if lower.endswith(ending)), "application/octet-stream")


def _picture(form: str) -> Callable[[Subject], bytes]:
    def render(subject: Subject) -> bytes:
        require_demo_extra(PILLOW)
        from registration_pipeline.demo.media import pictures

        renderers: Mapping[str, Callable[[Subject], bytes]] = {
            "jpeg": pictures.render_jpeg,
            "png": pictures.render_png,
            "webp": pictures.render_webp,
            "bmp": pictures.render_bmp,
        }
        return renderers[form](subject)

    return render


def _video(mux: Callable[[Clip], bytes]) -> Callable[[Subject], bytes]:
    def render(subject: Subject) -> bytes:
        require_demo_extra(PILLOW)
        from registration_pipeline.demo.media.pictures import FRAME_SIZE, render_jpeg

        width, height = FRAME_SIZE
        frames = [render_jpeg(subject, frame=frame) for frame in range(_CLIP_FRAMES)]
        return mux(Clip(frames=frames, width=width, height=height, frames_per_second=_CLIP_FRAMES_PER_SECOND))

    return render


_RENDERERS: Mapping[str, Callable[[Subject], bytes]] = {
    ".jpg": _picture("jpeg"),
    ".jpeg": _picture("jpeg"),
    ".png": _picture("png"),
    ".webp": _picture("webp"),
    ".bmp": _picture("bmp"),
    ".mp4": _video(mux_mp4),
    ".mov": _video(mux_quicktime),
    ".wav": render_wav,
    ".pdf": render_pdf,
    ".txt": render_text,
    ".json": render_json,
    ".html": render_html,
    ".nii": render_nifti,
    ".nii.gz": render_nifti_gz,
}

_CONTENT_TYPES: Mapping[str, str] = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".wav": "audio/x-wav",
    ".pdf": "application/pdf",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".nii.gz": "application/gzip",
}
