"""Names of generated media files: plausible folders, and names that break careless URL building.

What does not belong here: contents. No two names differ only in case or in Unicode normalisation, so that every file
system that people have on a laptop can hold all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.objects import MediaKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CAMERAS = 4
_FRAMES_PER_FOLDER = 40

# Escapes, because the precomposed and the combining form appear the same in an editor.
_HARD_NAMES: Mapping[MediaKind, tuple[str, ...]] = {
    MediaKind.IMAGE: (
        "camera-01/2026-11-20/frame 000124 (copy).jpg",
        "camera-01/2026-11-20/a+b=c & d.jpg",
        "camera-01/2026-11-20/100% full.png",
        "camera-01/2026-11-20/left%2Fright %41.jpg",
        "camera-01/2026-11-20/lot #7.jpg",
        "camera-02/2026-11-20/FRAME_000125.JPG",
        "camera-02/\u00dcbersicht/Stra\u00dfe nach S\u00fcden.jpg",
        "camera-02/U\u0308berblick/Mu\u0308nchen.jpg",
        "camera-02/2026-11-20/sunny \U0001f31e.jpg",
        "camera-02/2026-11-20/\u5168\u666f_000007.jpg",
        "camera-02/2026-11-20/it's [1], {2}; ~3 ^4 @5 !6 $7.jpg",
        "camera-02/2026-11-20/two  spaces .Jpeg",
    ),
    MediaKind.VIDEO: ("clips/Crash test #3, 50% speed.MP4", "clips/Br\u00fccke + Tunnel.mp4"),
    MediaKind.AUDIO: ("audio/Mikrofon S\u00fcd + Nord.wav",),
    MediaKind.PDF: ("reports/Pru\u0308fbericht 2026-11 (final).pdf", "reports/SUMMARY.PDF"),
    MediaKind.TEXT: ("notes/na\u00efve caf\u00e9.txt",),
    MediaKind.NIFTI: (),
}


def media_names(counts: Mapping[MediaKind, int]) -> list[str]:
    """Return file names per kind: at most a third of them hard, the rest regular. A larger count only adds names."""
    names: list[str] = []
    for kind, count in counts.items():
        hard = _HARD_NAMES[kind][: count // 3]
        names += hard
        names += [_REGULAR_NAMES[kind](index) for index in range(count - len(hard))]
    return names


def frame_name(index: int, *, ending: str = "jpg") -> str:
    """Return the path of the ``index``-th camera frame, four cameras side by side."""
    camera, step = index % _CAMERAS + 1, index // _CAMERAS
    day = 20 + step // _FRAMES_PER_FOLDER
    return f"camera-{camera:02d}/2026-11-{day}/frame_{step * 3:06d}.{ending}"


def _image_name(index: int) -> str:
    ending = {5: "png", 13: "png", 21: "webp", 26: "jpeg", 29: "bmp"}.get(index % 32, "jpg")
    return frame_name(index, ending=ending)


def _video_name(index: int) -> str:
    return f"clips/drive_{index:04d}.{('mp4', 'mp4', 'mov', 'mp4')[index % 4]}"


def _audio_name(index: int) -> str:
    return f"audio/microphone-{index % 2 + 1}_{index:04d}.wav"


def _pdf_name(index: int) -> str:
    return f"reports/2026-11-{20 + index % 2}_inspection_{index:03d}.pdf"


def _text_name(index: int) -> str:
    return f"notes/note_{index:03d}.{('txt', 'json', 'html')[index % 3]}"


def _nifti_name(index: int) -> str:
    subject = f"sub-{index // 2 + 1:03d}"
    return f"scans/{subject}/anat/{subject}_{'T2w.nii' if index % 2 else 'T1w.nii.gz'}"


_REGULAR_NAMES: Mapping[MediaKind, Callable[[int], str]] = {
    MediaKind.IMAGE: _image_name,
    MediaKind.VIDEO: _video_name,
    MediaKind.AUDIO: _audio_name,
    MediaKind.PDF: _pdf_name,
    MediaKind.TEXT: _text_name,
    MediaKind.NIFTI: _nifti_name,
}
