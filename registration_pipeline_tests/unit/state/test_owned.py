"""Which names are the pipeline's own: every name that it makes, and none that a share, a file manager or a backup leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.state import layout
from registration_pipeline.state.owned import is_own
from registration_pipeline_tests.state_layouts.going_on import LAYOUT_1

WAVE, CHUNK = "20261121T020000Z", "20261121T020000Z-images-000001"
MADE = [
    layout.state_version_name("fleet"),
    layout.inventory_folder("fleet", WAVE) + "part-0f0f0f0f-00000.parquet",
    layout.inventory_folder("fleet", WAVE) + layout.COMMIT_MARKER,
    layout.inventory_ranges_name("fleet", WAVE),
    layout.inventory_range_name("fleet", WAVE, 17),
    layout.inventory_writer_name("fleet", WAVE),
    layout.plan_folder("fleet", f"{WAVE}-2") + layout.COMMIT_MARKER,
    layout.lineage_name("fleet", 1),
    layout.ledger_folder("fleet", 2) + "keys-0f0f0f0f-00000.parquet",
    layout.facts_folder("fleet", "headers", WAVE) + layout.COMMIT_MARKER,
    layout.facts_writer_name("fleet", "headers", WAVE),
    layout.facts_folder("fleet", "headers", WAVE) + "progress-0f0f0f0f-00000.json",
    layout.facts_folder("fleet", "headers", WAVE) + "progress-0f0f0f0f-00000.parquet",
    layout.prior_items_folder("fleet", "6d0c1b6e-0000-0000-0000-000000000000") + layout.COMMIT_MARKER,
    layout.census_folder("fleet", WAVE) + "rejected-0f0f0f0f-00000.parquet",
    layout.manifest_name("fleet", f"{CHUNK}-ab"),
    layout.journal_name("fleet", CHUNK, 1, "intent"),
    layout.journal_name("fleet", CHUNK, 12345, "closed"),
    layout.journal_summary_name("fleet", 3),
    layout.outcomes_name("fleet", CHUNK, "0001-0123456789ab.parquet"),
    layout.failures_name("fleet", CHUNK, 1, "csv"),
    layout.failure_log_name("fleet", "20261121T020000123456Z", "parquet"),
    layout.audit_folder("fleet", "20261121T020000123456Z") + "findings.csv",
    layout.alert_name("fleet", 1),
    layout.alert_try_name("fleet", 1, 2),
    layout.alert_try_name("fleet", 1, 1, "sent"),
    layout.alert_try_name("fleet", 1, 2, "failed"),
    layout.alerts_folder("fleet") + "known-0f0f0f0f-00000.parquet",
    layout.link_entry_name("fleet", 1),
    layout.link_entry_name("fleet", 123456789, is_done=True),
    layout.links_summary_name("fleet", 32),
    layout.lease_name("fleet", 1, 1),
    layout.lease_released_name("fleet", 1),
    "fleet/upserts/plan/20261121T020000Z-2-upsert/units-0a1b2c3d-00000.parquet",
    "fleet/upserts/lineage/00000001.json",
    "fleet/upserts/facts/sent/00000004/_SUCCESS.json",
]
STRAYS = [".DS_Store", "._{}", ".nfs000000000001", "{}.bak", "{}~", "lost+found/{}", "@eaDir/{}", "{}.swp", "Thumbs.db"]


@pytest.mark.parametrize("name", MADE)
def test_every_name_that_is_made_is_own(name: str):
    assert is_own(name)


def test_every_file_of_the_stored_layout_is_own():
    root = LAYOUT_1 / "state"
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]

    assert len(names) > 50
    assert [name for name in names if not is_own(name)] == []


@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("name", MADE[:-1])
def test_what_others_leave_beside_it_is_not(name: str, stray: str):
    folder, _, base = name.rpartition("/")

    assert not is_own(f"{folder}/{stray.format(base)}")


@pytest.mark.parametrize("name", MADE[:-1])
def test_a_copy_that_a_file_manager_made_is_not(name: str):
    stem, _, suffix = name.rpartition(".")

    assert not is_own(f"{stem} (copy).{suffix}")


@given(st.text())
def test_any_text_has_an_answer(text: str):
    assert is_own(f"fleet/{text}") in {True, False}
