"""``deploy/compose``: its services fit together, restart, are watched, limited and given secrets as files only.

What its command lines do is in ``test_compose_processes.py``.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from registration_pipeline.orchestration.names import CODE_LOCATION
from registration_pipeline_tests.deploy.compose_file import FOLDER, read_compose

COMPOSE = read_compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["code", "web", "daemon"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_restarts_is_watched_limited_and_its_log_is_rotated(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["healthcheck"]["retries"] >= 3
    assert service["mem_limit"].endswith("g")
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


@pytest.mark.parametrize("name", OURS)
def test_our_services_write_only_to_volumes_and_have_no_rights(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert [volume.rsplit(":", 1)[1] for volume in service["volumes"] if volume.startswith("./")] == ["ro", "ro"]
    assert {volume.split(":")[0] for volume in service["volumes"] if not volume.startswith("./")} <= set(
        COMPOSE["volumes"]
    )
    assert service["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_secrets_are_files_and_each_service_has_only_those_that_it_needs() -> None:
    assert {name: service.get("secrets") for name, service in SERVICES.items()} == {
        "postgres": ["postgres_password"],
        "code": ["pgpass", "encord_key"],
        "web": ["pgpass"],
        "daemon": ["pgpass"],
    }
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    named = {key for service in SERVICES.values() for key in service["environment"]}
    assert {key for key in named if "PASS" in key or "KEY" in key} == {
        "ENCORD_SSH_KEY_FILE",
        "PGPASSFILE",
        "POSTGRES_PASSWORD_FILE",
    }


def test_the_web_page_is_published_on_this_machine_only_and_nothing_else_is() -> None:
    assert {name: service.get("ports", []) for name, service in SERVICES.items() if service.get("ports")} == {
        "web": ["127.0.0.1:3000:3000"]
    }


def test_the_workspace_names_the_code_service_and_its_port() -> None:
    (entry,) = yaml.safe_load((FOLDER / "registration" / "workspace.yaml").read_text())["load_from"]
    command = SERVICES["code"]["command"]

    assert entry["grpc_server"]["host"] in SERVICES
    assert str(entry["grpc_server"]["port"]) == command[command.index("--port") + 1]
    assert entry["grpc_server"]["location_name"] == CODE_LOCATION == command[command.index("--location-name") + 1]


def test_the_instance_names_the_database_service_and_holds_no_password() -> None:
    database = yaml.safe_load((FOLDER / "dagster.yaml").read_text())["storage"]["postgres"]["postgres_db"]

    assert database["hostname"] in SERVICES
    assert database["username"] == SERVICES["postgres"]["environment"]["POSTGRES_USER"]
    assert database["db_name"] == SERVICES["postgres"]["environment"]["POSTGRES_DB"]
    assert "password" not in database


def test_what_holds_secrets_is_not_committed() -> None:
    ignored = (FOLDER / ".gitignore").read_text().split("\n")

    assert {"secrets/", "registration/registration.yaml"} <= set(ignored)
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())
