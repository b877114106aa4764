"""What is known of the demo's camera frames besides the files: a table, as another team's tool would write it.

What does not belong here: the files themselves (``layout``) and the configuration that names the table (``configuration``).
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from registration_pipeline.demo.media.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

WEATHERS: Final = ("sun", "rain", "snow")
COLUMNS: Final = ("object", "weather", "speed")
PREFIX: Final = "demo."
CAMERAS: Final = "camera-"
"""Begins the keys of frames."""

_FASTEST: Final = 130


class Label(NamedTuple):
    """A row of the table: the weather, and the speed in km/h."""

    weather: str
    speed: float

    @property
    def values(self) -> Mapping[str, Any]:
        """What Encord must hold of it."""
        return {f"{PREFIX}weather": self.weather, f"{PREFIX}speed": self.speed}


def labels_of(keys: Iterable[str], *, seed: int) -> dict[str, Label]:
    """Return a label for each key: the same for the same key and seed."""
    found: dict[str, Label] = {}
    for key in keys:
        random = Subject(key, seed).random()
        found[key] = Label(random.choice(WEATHERS), random.randrange(2 * _FASTEST) / 2)
    return found


def corrected(labels: Mapping[str, Label], count: int) -> dict[str, Label]:
    """Return other labels for the first keys: what a person corrects."""
    following = dict(zip(WEATHERS, (*WEATHERS[1:], WEATHERS[0]), strict=True))
    return {key: labels[key]._replace(weather=following[labels[key].weather]) for key in sorted(labels)[:count]}


def write_labels(path: Path, labels: Mapping[str, Label]) -> None:
    """Write the table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((key, label.weather, label.speed) for key, label in labels.items())
