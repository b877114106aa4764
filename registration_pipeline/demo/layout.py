"""What a demo source consists of: good files, files that Encord must refuse, files that a rule or the planner keeps.

What does not belong here: contents of good files (``media``), regular names (``names``), the S3 server (``bucket``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.demo.key_map import MappedKey, write_key_map
from registration_pipeline.demo.media.media import media_bytes, write_bytes, write_media
from registration_pipeline.demo.media.names import media_names
from registration_pipeline.demo.media.subject import Subject
from registration_pipeline.objects import MediaKind, RejectionReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

DEFAULT_SEED = 20261121
EXCLUDE_RULE = "**/thumbnails/**"
"""The glob that a demo configuration must have under ``exclude`` for ``DemoLayout.excluded`` to hold."""

_BUCKET_COUNTS = {
    MediaKind.IMAGE: 214,
    MediaKind.VIDEO: 24,
    MediaKind.AUDIO: 16,
    MediaKind.PDF: 16,
    MediaKind.TEXT: 16,
    MediaKind.NIFTI: 8,
}
_DIRECTORY_COUNTS = {
    MediaKind.IMAGE: 39,
    MediaKind.VIDEO: 6,
    MediaKind.AUDIO: 4,
    MediaKind.PDF: 4,
    MediaKind.TEXT: 4,
    MediaKind.NIFTI: 2,
}
_UNNAMEABLE_KEYS = (
    "camera-04//2026-11-20/double slash.jpg",
    "/camera-04/leading slash.jpg",
    "camera-04\\2026-11-20\\backslash.jpg",
    'camera-04/2026-11-20/what? <*> | "quoted": tab\t.jpg',
    "reports/SUMMARY.PDF/page 1.jpg",
)
"""Keys that some or all file systems refuse; the last one makes another object's key its folder."""

_BROKEN_FILES = (
    "camera-03/2026-11-22/frame_000901.jpg",
    "reports/2026-11-22_inspection_901.pdf",
    "camera-03/2026-11-22/frame_000902.jpg",
    "camera-03/2026-11-22/frame_000903.jpg",
    "clips/drive_9001.mp4",
)
# Longer than the 300 characters that Encord allows for a title, with room for a prefix that the source may cut off.
_LONG_NAME = (
    "camera-04/" + "/".join(f"{part}-of-a-very-deep-folder-tree-{'x' * 40}" for part in range(5)) + "/frame_1.jpg"
)
_REJECTED_FILES = {
    "camera-04/2026-11-20/frame_lost.jpg": RejectionReason.EMPTY,
    "tools/player.exe": RejectionReason.UNSUPPORTED_TYPE,
    "notes/meeting minutes.docx": RejectionReason.UNSUPPORTED_TYPE,
    "tools/calibration.dat": RejectionReason.UNSUPPORTED_TYPE,
}
_ARCHIVED_FILE = "archive/2019-06-01/frame_000001.jpg"
_DIRECTORY_MARKER = "empty-folder/"
_PLACEHOLDER = b"A file of a type that Encord does not register.\n"
_ERROR_PAGE = b"<html><body><h1>503 Service Unavailable</h1></body></html>\n"
_NOISE_BYTES = 4096
_FIRST_NEW_DAY = 23
_LAST_DAY = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoLayout:
    """The files of one demo source. All names are ``/``-separated paths below ``folder``.

    Args:
        folder: where the files are.
        seed: of every file's content.
        media: valid files that must end registered.
        broken: files that seem eligible and that Encord must refuse until they are repaired.
        excluded: valid files that ``EXCLUDE_RULE`` keeps out.
        rejected: *keys* of objects that the planner must reject, with the reason.
        key_map: what files alone can't express; empty for a directory source.
    """

    folder: Path
    seed: int
    media: tuple[str, ...]
    broken: tuple[str, ...]
    excluded: tuple[str, ...]
    rejected: Mapping[str, RejectionReason]
    key_map: tuple[MappedKey, ...] = ()

    @property
    def objects(self) -> int:
        """How many objects the source holds before anything is added."""
        return len(self.media) + len(self.broken) + len(self.excluded) + len(self.rejected)

    @property
    def broken_paths(self) -> list[Path]:
        """The paths of the files that were written broken."""
        return [self.folder / name for name in self.broken]

    def key(self, path: Path) -> str:
        """Return the key of a file of this layout.

        Raises:
            ValueError: the path is not below the folder.
        """
        name = path.relative_to(self.folder).as_posix()
        return next((entry.key for entry in self.key_map if entry.file == name), name)

    def write(self) -> list[Path]:
        """Create what is missing; a file that exists is not changed, so that repairs and modification times survive.

        Returns:
            The paths of the files that were created.

        Raises:
            UsageError: pillow is not installed.
        """
        if self.key_map:
            write_key_map(self.folder, self.key_map)
        marker_keys = {entry.key for entry in self.key_map if entry.file is None}
        rejected = [name for name in self.rejected if name not in marker_keys]
        names = [*self.media, *self.excluded, *rejected]
        created = [write_bytes(self.folder / name, self._content(name)) for name in names if self._is_missing(name)]
        return created + self.break_files(self.folder / name for name in self.broken if self._is_missing(name))

    def break_files(self, paths: Iterable[Path]) -> list[Path]:
        """Overwrite files with bytes that no decoder of their kind accepts; the same garbage every time."""
        return [write_bytes(path, broken_bytes(self._name(path), seed=self.seed)) for path in paths]

    def repair_files(self, paths: Iterable[Path]) -> list[Path]:
        """Restore the exact valid bytes of files, whatever is in them now."""
        return [write_media(self.folder, self._name(path), seed=self.seed) for path in paths]

    def add_files(self, count: int = 10) -> list[Path]:
        """Write ``count`` new valid files of a day that the source does not have yet: frames, and one clip at the end.

        Raises:
            ValueError: the month has no day left.
        """
        for day in range(_FIRST_NEW_DAY, _LAST_DAY + 1):
            if not (self.folder / f"camera-03/2026-11-{day}").exists():
                frames = [f"camera-03/2026-11-{day}/frame_{index * 3:06d}.jpg" for index in range(count - 1)]
                return [
                    write_media(self.folder, name, seed=self.seed) for name in (*frames, f"clips/drive_{day}00.mp4")
                ]
        raise ValueError(f"{self.folder} has files of every day already: delete it and write the layout again.")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _is_missing(self, name: str) -> bool:
        return not (self.folder / name).exists()

    def _content(self, name: str) -> bytes:
        reason = self.rejected.get(name)
        if reason is RejectionReason.EMPTY:
            return b""
        if reason is RejectionReason.UNSUPPORTED_TYPE:
            return _PLACEHOLDER
        return media_bytes(name, seed=self.seed)


def bucket_layout(folder: Path, *, seed: int = DEFAULT_SEED) -> DemoLayout:
    """Return the demo's bucket: 300 good files, hard keys among them, and everything that can be wrong with one."""
    unnameable = [MappedKey(key=key, file=f"unnameable/{at}.jpg") for at, key in enumerate(_UNNAMEABLE_KEYS, start=1)]
    special = (
        MappedKey(key=_DIRECTORY_MARKER),
        MappedKey(key=_ARCHIVED_FILE, file=_ARCHIVED_FILE, storage_class="GLACIER"),
    )
    return DemoLayout(
        folder=folder,
        seed=seed,
        media=(*sorted(media_names(_BUCKET_COUNTS)), _LONG_NAME, *(entry.file for entry in unnameable if entry.file)),
        broken=_BROKEN_FILES,
        excluded=_thumbnails(6),
        rejected={
            **_REJECTED_FILES,
            _DIRECTORY_MARKER: RejectionReason.DIRECTORY_MARKER,
            _ARCHIVED_FILE: RejectionReason.ARCHIVED,
        },
        key_map=(*unnameable, *special),
    )


def directory_layout(folder: Path, *, seed: int = DEFAULT_SEED) -> DemoLayout:
    """Return the demo's local directory: 60 good files and what can be wrong without a bucket."""
    return DemoLayout(
        folder=folder,
        seed=seed,
        media=(*sorted(media_names(_DIRECTORY_COUNTS)), _LONG_NAME),
        broken=_BROKEN_FILES[:2],
        excluded=_thumbnails(2),
        rejected=_REJECTED_FILES,
    )


def broken_bytes(name: str, *, seed: int) -> bytes:
    """Return bytes that no decoder of the file's kind accepts: what really happens to files on their way.

    A PDF lost its first line, a picture is an error page, noise or its own second half, anything else is noise.
    """
    subject = Subject(name, seed)
    lower = name.lower()
    if lower.endswith(".pdf"):
        return media_bytes(name, seed=seed).split(b"\n", 2)[2]
    if lower.endswith((".jpg", ".jpeg", ".png")) and subject.number % 3:
        valid = media_bytes(name, seed=seed)
        return _ERROR_PAGE if subject.number % 3 == 1 else valid[len(valid) // 2 :]
    return subject.random().randbytes(_NOISE_BYTES)


def _thumbnails(count: int) -> tuple[str, ...]:
    return tuple(f"camera-01/thumbnails/frame_{index * 3:06d}.jpg" for index in range(count))
