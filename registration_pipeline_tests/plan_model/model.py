"""What a plan has to come to, in dictionaries: an independent, slow and readable implementation of the rules of units.

It shares nothing with ``registration_pipeline.planning``. What belongs here: the bucket and the rules that the model knows,
and what becomes of every object night after night. What does not: comparing with a real plan (``world.py``) and random
buckets (``nights.py``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

PREFIX = "raw/"
IMAGES, DICOM, VIDEOS = "images", "dicom", "videos"
SUFFIXES = {".jpg": IMAGES, ".png": IMAGES, ".tif": IMAGES, ".dcm": DICOM, ".mp4": VIDEOS}
UNIT_KINDS = {"image_group": "image_groups", "image_sequence": "image_sequences", "dicom_series": "dicom_series"}


@dataclass(frozen=True)
class Blob:
    """An object of the bucket. ``header`` is what was read of it: a series, a reason, or nothing yet."""

    e_tag: str
    written: datetime
    size: int = 10
    storage_class: str | None = None
    header: str | None = None
    header_e_tag: str | None = None


@dataclass(frozen=True)
class Rule:
    """A group rule; ``below`` is the folder that it takes everything of, or nothing for the whole bucket."""

    below: str
    kind: str
    by: str
    expect: int | None = None
    complete_after: int | None = None

    def setting(self) -> dict[str, object]:
        setting: dict[str, object] = {"match": f"{self.below}**", "as": self.kind, "by": self.by}
        if self.expect is not None:
            setting["expect_objects"] = self.expect
        if self.complete_after is not None:
            setting["complete_after_seconds"] = self.complete_after
        return setting

    def takes(self, path: str, kind: str | None) -> bool:
        if self.kind == "dicom_series":
            return path.startswith(self.below) and (kind == DICOM or (kind is None and self.by == "headers"))
        return path.startswith(self.below) and kind == IMAGES


DEFAULT = Rule("", "dicom_series", "headers")


@dataclass(frozen=True)
class Rules:
    """What a source says of its objects. ``bin_is`` says what objects with the suffix ``.bin`` are."""

    groups: tuple[Rule, ...] = ()
    bin_is: str | None = None
    excludes_videos: bool = False
    min_age: int = 0

    def settings(self) -> dict[str, object]:
        return {
            "groups": [rule.setting() for rule in self.groups],
            "kinds": [{"match": "**/*.bin", "kind": self.bin_is}] if self.bin_is else [],
            "exclude": ["**/*.mp4"] if self.excludes_videos else [],
            "min_age_seconds": self.min_age,
        }

    def grouping(self) -> object:
        """Return what makes two of them group the same."""
        kinds = self.bin_is if self.groups or self.bin_is == DICOM else None
        return (*((rule.below, rule.kind, rule.by) for rule in self.groups), kinds)


@dataclass(frozen=True)
class Member:
    """What the rules say of an object: ``unit`` is kind and group key; None while only a header could say it."""

    rule: Rule
    unit: tuple[str, str] | None
    order: tuple[object, ...] = ()
    is_waiting: bool = False


@dataclass
class Night:
    """What a night came to.

    Args:
        fates: key -> ``excluded``, ``known``, ``held``, ``new``, or a reason of rejection.
        units: kind and group key -> keys in their order, of the new units of several objects.
        held_units: how many units are held; an object that waits for its header counts as one.
        changed_units: how many units have an object that changed.
        deleted_units: how many units have an object that is gone.
    """

    fates: dict[str, str] = field(default_factory=dict)
    units: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    held_units: int = 0
    changed_units: int = 0
    deleted_units: int = 0

    def count(self, fate: str) -> int:
        return Counter(self.fates.values())[fate]


class PlanModel:
    """Every night's plan of one source, by dictionaries."""

    def __init__(self) -> None:
        self.planned: dict[str, Blob] = {}
        self.unit_of: dict[str, tuple[str, str]] = {}
        self.groups: dict[tuple[str, str], list[str]] = {}
        self._groupings: list[object] = []

    def plan(self, bucket: dict[str, Blob], rules: Rules, started: datetime) -> Night:
        """Decide about every object, and remember what was planned."""
        night = Night()
        units: dict[tuple[str, str], list[tuple[str, Member]]] = {}
        has_unknown = False
        for key, blob in bucket.items():
            fate, member = self._fate(key, blob, rules, started)
            if member is not None and member.unit is not None:
                units.setdefault(member.unit, []).append((key, member))
                night.fates[key] = fate or "member"
                continue
            if member is not None and member.is_waiting and fate is None:
                has_unknown = True  # it may be in any series, whatever rule takes it
            night.fates[key] = fate or ("held" if member else "new")
            night.held_units += night.fates[key] == "held"
        outside = self._outside(bucket, rules)
        for unit, members in sorted(units.items()):
            members.sort(key=lambda one: one[1].order)
            keys = [key for key, _ in members]
            # Several rules may fill a unit: the first of them decides.
            rule = min((member.rule for _, member in members), key=[*rules.groups, DEFAULT].index)
            age = rules.min_age if rule.complete_after is None else rule.complete_after
            youngest = max(bucket[key].written for key in keys)
            fate = unit_fate(
                rule,
                len(keys),
                is_late=unit in self.groups or unit in outside,
                has_bad=any(night.fates[key] != "member" for key in keys),
                is_waiting=(has_unknown and unit[1].startswith("headers:"))
                or bool(age and youngest > started - timedelta(seconds=age)),
            )
            night.held_units += fate == "held"
            if fate == "new":
                night.units[unit] = self.groups[unit] = keys
                self.unit_of.update(dict.fromkeys(keys, unit))
            night.fates |= {key: fate for key in keys if night.fates[key] == "member"}
        self._count_touched(bucket, night)
        for key, fate in night.fates.items():
            if fate == "new":
                self.planned[key] = bucket[key]
                self.unit_of.setdefault(key, ("single", key))
        if rules.grouping() not in self._groupings:
            self._groupings.append(rules.grouping())
        return night

    def _fate(self, key: str, blob: Blob, rules: Rules, started: datetime) -> tuple[str | None, Member | None]:
        """Return what an object alone comes to, None if nothing is against it, and what makes it a member."""
        if key in self.planned:
            return "known", None
        if rules.excludes_videos and key.endswith(".mp4"):
            return "excluded", None
        kind, member = kind_of(key, rules), member_of(key, blob, rules)
        problem = _problem(key, blob, kind, is_member=member is not None)
        if member is None:
            too_young = rules.min_age and blob.written > started - timedelta(seconds=rules.min_age)
            return problem or ("held" if too_young else None), None
        if problem is None and member.rule.kind == "image_sequence" and key.endswith(".tif"):
            problem = "unsupported_type"
        if problem is None and member.unit is None and not member.is_waiting:
            header = blob.header if member.rule.by == "headers" else "unit_incomplete"
            problem = header
        return problem, member

    def _outside(self, bucket: dict[str, Blob], rules: Rules) -> set[tuple[str, str]]:
        """Return the units that planned objects would be members of, if they were planned under other rules."""
        if all(grouping == rules.grouping() for grouping in self._groupings):
            return set()
        known = [key for key in bucket if key in self.planned and not (rules.excludes_videos and key.endswith(".mp4"))]
        members = [member_of(key, bucket[key], rules) for key in known]
        return {member.unit for member in members if member is not None and member.unit is not None}

    def _count_touched(self, bucket: dict[str, Blob], night: Night) -> None:
        gone = [key for key in self.planned if key not in bucket]
        changed = [key for key, blob in self.planned.items() if key in bucket and bucket[key].e_tag != blob.e_tag]
        night.deleted_units = len({self.unit_of[key] for key in gone})
        night.changed_units = len({self.unit_of[key] for key in changed})


def kind_of(key: str, rules: Rules) -> str | None:
    """Return what an object is by its name."""
    if key.endswith(".bin"):
        return rules.bin_is
    return next((kind for suffix, kind in SUFFIXES.items() if key.endswith(suffix)), None)


def member_of(key: str, blob: Blob, rules: Rules) -> Member | None:
    """Return what the first rule that takes an object says of it."""
    path, kind = key.removeprefix(PREFIX), kind_of(key, rules)
    groups = (*rules.groups, *((DEFAULT,) if kind == DICOM else ()))
    rule = next((rule for rule in groups if rule.takes(path, kind)), None)
    if rule is None:
        return None
    unit_kind, by_key = UNIT_KINDS[rule.kind], (_natural(path), key)
    if rule.by == "directory":
        folder = path[: path.rfind("/") + 1]
        return Member(rule, (unit_kind, f"directory:{folder}"), by_key)
    if rule.by == "headers":
        if blob.header is None or blob.header_e_tag != blob.e_tag:
            return Member(rule, None, by_key, is_waiting=True)
        return Member(rule, (unit_kind, f"headers:{blob.header}") if blob.header[0].isdigit() else None, by_key)
    match = re.search(rule.by, path)
    if match is None:
        return Member(rule, None) if kind == DICOM else None
    names = {name: value for name, value in sorted(match.groupdict().items()) if name != "frame"}
    group_key = "regex:" + json.dumps(names, ensure_ascii=False, separators=(",", ":"))
    order = (0, int(match["frame"]), key) if "frame" in match.groupdict() else (1, *by_key)
    return Member(rule, (unit_kind, group_key), order)


def unit_fate(rule: Rule, objects: int, *, is_late: bool, has_bad: bool, is_waiting: bool) -> str:
    """Return what becomes of the good members of a unit."""
    if is_late:
        return "late_member"
    if has_bad or (rule.expect is not None and objects > rule.expect):
        return "unit_incomplete"
    return "held" if is_waiting or objects < (rule.expect or 0) else "new"


def unit_id(source: str, unit: tuple[str, str]) -> str:
    """Return the id that a unit of a source has for ever."""
    kind, group_key = unit
    return hashlib.sha256(f"{source}\0{kind}\0{group_key}".encode()).hexdigest()[:16]


def _problem(key: str, blob: Blob, kind: str | None, *, is_member: bool) -> str | None:
    if blob.size == 0:
        return "empty"
    if kind is None and not is_member:
        return "unsupported_type"
    return "archived" if blob.storage_class == "GLACIER" else None


def _natural(text: str) -> tuple[tuple[int, int], ...]:
    """Compare character by character, and a run of digits as a number in the place of its first digit."""
    pieces = re.findall("[0-9]+|[^0-9]", text, re.DOTALL)
    return tuple((ord("0"), int(piece)) if piece.isdigit() else (ord(piece), 0) for piece in pieces)
