"""The configuration: registration.yaml and the environment as frozen models. Import settings from here.

What does not belong here: opening what the settings name (``project/``). Nothing is read at import.
"""

from __future__ import annotations

from registration_pipeline.settings.addresses import SourceLocation, SourceScheme
from registration_pipeline.settings.credentials import SshPrivateKey, encord_domain, encord_private_key
from registration_pipeline.settings.executor import Engine, ExecutorSettings
from registration_pipeline.settings.load import load_settings
from registration_pipeline.settings.metadata import (
    DatasetSettings,
    FieldKind,
    FieldType,
    KeyframeConfig,
    KeyframeMode,
    MediaMetadata,
    MetadataEntry,
    SubmitAs,
    TableMatch,
)
from registration_pipeline.settings.models import (
    ChunkSizes,
    EncordSettings,
    Settings,
    SourceEncordSettings,
    SourceSettings,
    StorageSettings,
    UrlStyle,
)
from registration_pipeline.settings.notify import NotifyTarget
from registration_pipeline.settings.units import Grouping, GroupKind, GroupRule, KindRule, ObjectKind

__all__ = [
    "ChunkSizes",
    "DatasetSettings",
    "EncordSettings",
    "Engine",
    "ExecutorSettings",
    "FieldKind",
    "FieldType",
    "GroupKind",
    "GroupRule",
    "Grouping",
    "KeyframeConfig",
    "KeyframeMode",
    "KindRule",
    "MediaMetadata",
    "MetadataEntry",
    "NotifyTarget",
    "ObjectKind",
    "Settings",
    "SourceEncordSettings",
    "SourceLocation",
    "SourceScheme",
    "SourceSettings",
    "SshPrivateKey",
    "StorageSettings",
    "SubmitAs",
    "TableMatch",
    "UrlStyle",
    "encord_domain",
    "encord_private_key",
    "load_settings",
]
