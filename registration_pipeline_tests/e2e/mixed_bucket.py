"""Buckets that mix single images with image groups, image sequences and DICOM series, and what Encord must hold of them.

What belongs here: the rules of such a source, the keys of its units in their order, and the comparison of these with the items
of a sandbox. What happens to them is up to the tests.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from registration_pipeline_tests.e2e.command_project import CommandProject

GROUPS: Final[list[dict[str, Any]]] = [
    {"match": "rigs/**", "as": "image_group", "by": "directory"},
    {"match": "clips/**", "as": "image_sequence", "by": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.png$"},
    {"match": "scans/**", "as": "dicom_series", "by": "directory"},
]
"""Rules that need no header, so that the objects need no content."""


class Unit(NamedTuple):
    """What must become one item.

    Args:
        title: its title.
        keys: its objects below the prefix, in the order of their positions.
    """

    title: str
    keys: tuple[str, ...]


def single(key: str) -> Unit:
    """Return a unit of one object."""
    return Unit(key, (key,))


def rig(name: str, frames: int = 3) -> Unit:
    """Return an image group of a directory. Its natural order is not that of the bucket: cam_2 comes before cam_10."""
    return Unit(f"rigs/{name}", tuple(f"rigs/{name}/cam_{1 + 9 * frame}.jpg" for frame in range(frames)))


def clip(name: str, frames: int) -> Unit:
    """Return an image sequence by the number of the frame: that too is another order than that of the keys."""
    return Unit(name, tuple(f"clips/{name}/{frame}.png" for frame in range(1, frames + 1)))


def scan(name: str, slices: int) -> Unit:
    """Return a DICOM series of a directory."""
    return Unit(f"scans/{name}", tuple(f"scans/{name}/IM{place}.dcm" for place in range(1, slices + 1)))


def assert_registered_once(project: CommandProject, units: list[Unit]) -> None:
    """Assert that Encord holds one item for each unit, that it consists of the unit's objects in order, and nothing else."""
    prefix = f"file://{project.root}/media/"
    expected = Counter((unit.title, tuple(prefix + key for key in unit.keys)) for unit in units)
    found = Counter((item.name.removeprefix(f"{project.root}/media/"), item.urls) for item in project.items())
    missing, surplus = expected - found, found - expected
    assert not missing, f"{missing.total()} units are not registered: {[unit for unit, _ in missing][:5]}"
    assert not surplus, f"{surplus.total()} items are duplicates or not a unit: {[unit for unit, _ in surplus][:5]}"
