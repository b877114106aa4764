"""Every column that an asset's page lists says what it is."""

from __future__ import annotations

from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.orchestration.columns import COLUMN_TEXTS
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.tracking.failures.files import FAILURE_SCHEMA


def test_exactly_the_columns_of_the_files_have_a_text() -> None:
    assert set(COLUMN_TEXTS) == {*INVENTORY_SCHEMA.names, *PLAN_SCHEMA.names, *FAILURE_SCHEMA.names}
    assert all(text.endswith(".") for text in COLUMN_TEXTS.values())
