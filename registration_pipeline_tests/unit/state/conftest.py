"""What tests of the state share."""

from __future__ import annotations

import pytest
from obstore.store import MemoryStore

from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline_tests.unit.state.lease_world import World


@pytest.fixture
def world() -> World:
    return World(BucketStateStore(MemoryStore(), "memory://state"))
