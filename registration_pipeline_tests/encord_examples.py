"""The JSON examples of Encord's registration pages, per kind, with the keys and the rules that they are rebuilt from.

The pages print the same examples for each provider, with that provider's URLs: ``BASE`` stands for what comes before the key.
Written down are the lists, keys and values of their forms; the titles are those that the pages give as defaults (path and
name from the URL) or that a template makes. What this version does not write stays out: media metadata blocks, and client
metadata of the user.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from registration_pipeline.objects import MediaKind

_ARN: Final = "arn:aws:s3::123123123:accesspoint/frf28frarf9.mrap"

PROVIDERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "AWS": (
        {"uri": "s3://encord-media/", "storage": {"region": "eu-west-2"}},
        "https://encord-media.s3.eu-west-2.amazonaws.com/",
    ),
    "AWS, path": (
        {"uri": "s3://encord-media/", "storage": {"region": "eu-west-2"}, "url_style": "path"},
        "https://s3.eu-west-2.amazonaws.com/encord-media/",
    ),
    "AWS, s3": ({"uri": "s3://encord-media/", "url_style": "s3"}, "s3://encord-media/"),
    "Multi-Region Access Point": (
        {"uri": "s3://encord-media/", "storage": {"access_point_arn": _ARN}, "url_style": "mrap"},
        f"https://{_ARN}.s3-accesspoint.amazonaws.com/",
    ),
    "GCP": ({"uri": "gs://encord-media/"}, "https://storage.cloud.google.com/encord-media/"),
    "GCP, gs": ({"uri": "gs://encord-media/", "url_style": "gs"}, "gs://encord-media/"),
    "Azure": ({"uri": "az://media@encord/"}, "https://encord.blob.core.windows.net/media/"),
    "OTC": (
        {"uri": "obs://encord-media/", "storage": {"region": "eu-de"}},
        "https://encord-media.obs.eu-de.otc.t-systems.com/",
    ),
}
"""Provider -> settings of a source there, and what its URLs begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit of an example: its kind, title, and keys in the order of their positions."""

    kind: MediaKind
    title: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example.

    Args:
        text: the JSON, with ``BASE`` for what URLs begin with.
        units: what it says.
        rules: settings of a source whose plan gives these units.
    """

    text: str
    units: tuple[Unit, ...]
    rules: dict[str, Any] = field(default_factory=dict)

    def document(self, base: str) -> dict[str, Any]:
        """Return the JSON with the URLs of a provider."""
        parsed: dict[str, Any] = json.loads(self.text.replace("BASE", base))
        return parsed

    @property
    def keys(self) -> list[str]:
        """The keys of the bucket."""
        return [key for unit in self.units for key in unit.keys]


def _singles(kind: MediaKind, *keys: str) -> tuple[Unit, ...]:
    return tuple(Unit(kind=kind, title=key, keys=(key,)) for key in keys)


_GROUP_RULE: Final = {"match": "Rigs/**", "as": "image_group", "by": "directory"}
_SEQUENCE_RULE: Final = {
    "match": "Clips/**",
    "as": "image_sequence",
    "by": r"^Clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.png$",
    "title": "clip {clip}",
}
_SERIES_RULE: Final = {"match": "Studies/**", "as": "dicom_series", "by": "directory"}

_VIDEOS: Final = """{"videos": [
    {"objectUrl": "BASEVideos/2022/video_1.mp4", "title": "Videos/2022/video_1.mp4"},
    {"objectUrl": "BASEVideos/2022/video_2.mp4", "title": "Videos/2022/video_2.mp4"}
]}"""
_GROUPS: Final = """{"image_groups": [
    {"title": "Rigs/1", "createVideo": false,
     "objectUrl_0": "BASERigs/1/image_1.jpg", "objectUrl_1": "BASERigs/1/image_2.jpg",
     "objectUrl_2": "BASERigs/1/image_10.jpg"},
    {"title": "Rigs/2", "createVideo": false, "objectUrl_0": "BASERigs/2/image_1.tif"}
]}"""
_SEQUENCES: Final = """{"image_groups": [
    {"title": "clip one", "createVideo": true,
     "objectUrl_0": "BASEClips/one/1.png", "objectUrl_1": "BASEClips/one/2.png", "objectUrl_2": "BASEClips/one/10.png"}
]}"""
_SERIES: Final = """{"dicom_series": [
    {"title": "Studies/1/a", "createVideo": false,
     "objectUrl_0": "BASEStudies/1/a/IM1.dcm", "objectUrl_1": "BASEStudies/1/a/IM2.dcm"},
    {"title": "Studies/1/b", "createVideo": false, "objectUrl_0": "BASEStudies/1/b/IM1.dcm"}
]}"""
_GROUP_UNITS: Final = (
    Unit(
        kind=MediaKind.IMAGE_GROUP,
        title="Rigs/1",
        keys=("Rigs/1/image_1.jpg", "Rigs/1/image_2.jpg", "Rigs/1/image_10.jpg"),
    ),
    Unit(kind=MediaKind.IMAGE_GROUP, title="Rigs/2", keys=("Rigs/2/image_1.tif",)),
)
_SEQUENCE_UNITS: Final = (
    Unit(
        kind=MediaKind.IMAGE_SEQUENCE,
        title="clip one",
        keys=("Clips/one/1.png", "Clips/one/2.png", "Clips/one/10.png"),
    ),
)
_SERIES_UNITS: Final = (
    Unit(kind=MediaKind.DICOM_SERIES, title="Studies/1/a", keys=("Studies/1/a/IM1.dcm", "Studies/1/a/IM2.dcm")),
    Unit(kind=MediaKind.DICOM_SERIES, title="Studies/1/b", keys=("Studies/1/b/IM1.dcm",)),
)

EXAMPLES: Final = {
    "videos": Example(
        text=_VIDEOS, units=_singles(MediaKind.VIDEO, "Videos/2022/video_1.mp4", "Videos/2022/video_2.mp4")
    ),
    "single images": Example(
        text="""{"images": [
            {"objectUrl": "BASEImages/image_1.png", "title": "Images/image_1.png"},
            {"objectUrl": "BASEImages/image_2.jpg", "title": "Images/image_2.jpg"}
        ]}""",
        units=_singles(MediaKind.IMAGE, "Images/image_1.png", "Images/image_2.jpg"),
    ),
    "audio": Example(
        text='{"audio": [{"objectUrl": "BASEAudio/call.mp3", "title": "Audio/call.mp3"}]}',
        units=_singles(MediaKind.AUDIO, "Audio/call.mp3"),
    ),
    "PDFs": Example(
        text='{"pdfs": [{"objectUrl": "BASEPapers/a.pdf", "title": "Papers/a.pdf"}]}',
        units=_singles(MediaKind.PDF, "Papers/a.pdf"),
    ),
    "text files": Example(
        text='{"text": [{"objectUrl": "BASENotes/a.txt", "title": "Notes/a.txt"}]}',
        units=_singles(MediaKind.TEXT, "Notes/a.txt"),
    ),
    "NIfTI": Example(
        text='{"nifti": [{"title": "Volumes/brain.nii.gz", "objectUrl": "BASEVolumes/brain.nii.gz"}]}',
        units=_singles(MediaKind.NIFTI, "Volumes/brain.nii.gz"),
    ),
    "image groups": Example(text=_GROUPS, units=_GROUP_UNITS, rules={"groups": [_GROUP_RULE]}),
    "image sequences": Example(text=_SEQUENCES, units=_SEQUENCE_UNITS, rules={"groups": [_SEQUENCE_RULE]}),
    "DICOM": Example(text=_SERIES, units=_SERIES_UNITS, rules={"groups": [_SERIES_RULE]}),
    "multiple file types": Example(
        text=json.dumps(
            {
                **json.loads(_VIDEOS),
                "image_groups": [*json.loads(_SEQUENCES)["image_groups"], *json.loads(_GROUPS)["image_groups"]],
                **json.loads(_SERIES),
            }
        ),
        units=(
            *_singles(MediaKind.VIDEO, "Videos/2022/video_1.mp4", "Videos/2022/video_2.mp4"),
            *_SEQUENCE_UNITS,
            *_GROUP_UNITS,
            *_SERIES_UNITS,
        ),
        rules={"groups": [_GROUP_RULE, _SEQUENCE_RULE, _SERIES_RULE]},
    ),
}
"""What a page shows -> the example."""
