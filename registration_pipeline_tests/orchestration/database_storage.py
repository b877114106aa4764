"""A run storage in a database elsewhere, as ``dagster.yaml`` names one: it connects when it is made, as Dagster's own do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import StringSource
from dagster._core.storage.runs import SqliteRunStorage
from sqlalchemy import create_engine

if TYPE_CHECKING:
    from dagster._serdes import ConfigurableClassData


class DatabaseRunStorage(SqliteRunStorage):
    """Runs in the database of ``url``."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {"url": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: dict[str, str]) -> Any:  # type: ignore[override]
        with create_engine(config_value["url"]).connect():
            return cls(config_value["url"], inst_data)
