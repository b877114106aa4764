"""Wrong configurations and environments through the real commands: the status, what is said, and no secret anywhere."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registration_pipeline_tests.unit.cli.odd_servers import ReadOnlyBucket, serve_pages
from registration_pipeline_tests.unit.cli.wrong_environments import AWS_CONFIG, SECRET, WRONG, Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline_tests.unit.cli.conftest import Workplace

LONGEST_SECONDS = 90
"""Refused connections are tried six times with waits of at most 2 + 4 + 8 + 16 + 32 s, and some for the SDK's own."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    yield from serve_pages(is_refusing=False)


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    yield from serve_pages(is_refusing=True)


@pytest.fixture(scope="module")
def read_only() -> Iterator[str]:
    yield from serve_pages(handler=ReadOnlyBucket)


@pytest.fixture
def closed() -> Iterator[str]:
    """An address at which nobody listens, and no one else will while it is held."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def places(  # noqa: PLR0917 - each is a fixture
    workplace: Workplace, moto_server: str, web: str, refusing: str, read_only: str, closed: str
) -> dict[str, str]:
    other_key = (
        Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
        .decode()
    )
    return {
        "root": str(workplace.root),
        "moto": moto_server,
        "web": web,
        "refusing": refusing,
        "read_only": read_only,
        "closed": closed,
        "other_key": other_key,
        "half_key": "\n".join(other_key.splitlines()[:3]),
    }


@pytest.fixture
def make_wrong(workplace: Workplace, places: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def make(wrong: Wrong) -> tuple[str, ...]:
        """Put it in place and return what must be said."""
        settings = {name: filled(value, places) for name, value in wrong.settings.items()}
        workplace.configure(**settings)
        if wrong.text:
            good = workplace.config.read_text().removeprefix("sources").partition("\nstate:")[0]
            workplace.config.write_text(wrong.text.format(**places) + "sources" + good + "\n")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "no-such-file"))
        if wrong.aws_config is not None:
            (workplace.root / AWS_CONFIG).write_text(wrong.aws_config.format(**places))
            monkeypatch.setenv("AWS_CONFIG_FILE", str(workplace.root / AWS_CONFIG))
        (workplace.root / "list.json").write_text("[]")
        for name, value in wrong.environ.items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(
                name, value.format(**places)
            )
        return tuple(part.format(**places) for part in wrong.says)

    return make


def filled(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(item, places) for name, item in value.items()}
    return value.format(**places) if isinstance(value, str) else value


TRIED_AGAIN = ("key that nobody registered", "another web server at the domain", "nobody listens at the domain")
"""What might pass by itself, so that the command waits for some seconds before it gives up."""


def assert_refused(workplace: Workplace, places: dict[str, str], wrong: Wrong, says: tuple[str, ...], *command: str):
    began = time.monotonic()
    said = workplace.run(*command)
    seconds = time.monotonic() - began
    assert said.status == wrong.status, said.words
    for part in says:
        assert part in said.words
    assert "Traceback" not in said.err
    assert seconds < LONGEST_SECONDS
    for secret in (workplace.key_body, places["other_key"].splitlines()[2], SECRET):
        assert secret not in said.out + said.err
        kept = workplace.find(secret, apart_from=workplace.root / "encord")
        assert {path.name for path in kept} <= {workplace.config.name, AWS_CONFIG}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in TRIED_AGAIN), id=name) for name in WRONG]
)
def test_check_says_what_is_wrong(workplace: Workplace, places: dict[str, str], make_wrong: Any, name: str):
    workplace.put("a.jpg")
    says = make_wrong(WRONG[name])
    assert_refused(workplace, places, WRONG[name], says, "check")
    assert not (workplace.root / "state").exists()
    assert not (workplace.root / ".dagster").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_sync_says_what_is_wrong(workplace: Workplace, places: dict[str, str], make_wrong: Any, name: str):
    workplace.put("a.jpg")
    says = make_wrong(WRONG[name])
    assert_refused(workplace, places, WRONG[name], says, "sync")
    assert not workplace.sandbox.jobs()


@pytest.mark.parametrize("command", ["status", "failures"])
def test_reports_need_neither_key_nor_encord_nor_bucket(
    synced: Workplace, command: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("ENCORD_SSH_KEY_FILE")
    monkeypatch.setenv("ENCORD_DOMAIN", "http://127.0.0.1:9")
    assert synced.run(command).status == 0
