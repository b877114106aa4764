"""What every endpoint works with, bound to the application by ``app``.

What does not belong here: behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from registration_pipeline.sandbox.api.traffic import Traffic
    from registration_pipeline.sandbox.config import SandboxConfig
    from registration_pipeline.sandbox.database import Database
    from registration_pipeline.sandbox.faults.connections import Connections
    from registration_pipeline.sandbox.faults.plan import FaultPlan
    from registration_pipeline.sandbox.jobs.runner import JobBoard, JobRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One sandbox's parts. ``authorised`` maps key ids to users."""

    config: SandboxConfig
    database: Database
    board: JobBoard
    runner: JobRunner
    authorised: Mapping[str, str]
    plan: FaultPlan
    connections: Connections
    traffic: Traffic


def service_of(request: Request) -> Service:
    """The service that the request came to."""
    return cast("Service", request.app.state.service)
