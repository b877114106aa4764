"""Wrong keys and addresses of Encord in the environment: each is refused with its variable, the remedy, and no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError, CredentialsError, RegistrationPipelineError
from registration_pipeline.settings import encord_domain, encord_private_key, load_settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "tell-nobody-4711"
FILES = "sources: {local: {uri: 'file:///data/media/'}}"

KEY_PIECES = {
    "line of a key": f"AAAAC3NzaC1lZDI1NTE5AAAAI{SECRET}QyNTUxOQAAACDqX4jm2v7n7Yt",
    "line with a slash": f"QyNTUxOQAAACDqX4jm2/n7Yt+{SECRET}AAAAC3NzaC1lZDI1NTE5AAAA",
    "line that starts with a slash": f"/AAAC3NzaC1lZDI1NTE5AAAAI{SECRET}QyNTUxOQAAACDqX4jm2v7",
    "last line of a key": f"bWFja{SECRET}QECAwQ=",
    "all lines in one": f"AAAAC3NzaC1lZDI1NTE5 {SECRET} " + "QyNTUxOQAAACDqX4jm2v7n7Yt " * 12,
    "a line too long for a name": SECRET + "QyNTUxOQAAACDqX4jm2v7n7Yt" * 12,
    "some other secret": f"{SECRET}",
    "hexadecimal digits": f"{SECRET}5d41402abc4b2a76b9719d911017c592",
    "a URL": f"https://host/key?sig={SECRET}",
}
"""What people put there who confuse the two variables; none of them names a file."""


@pytest.mark.parametrize(
    ("variables", "error", "status", "says"),
    [
        pytest.param({}, CredentialsError, 4, "set ENCORD_SSH_KEY ", id="no key"),
        pytest.param({"ENCORD_SSH_KEY": " \n"}, CredentialsError, 4, "there is no Encord key", id="blank key"),
        pytest.param(
            {"ENCORD_SSH_KEY": "/home/x/.ssh/encord"},
            CredentialsError,
            4,
            "put a path in ENCORD_SSH_KEY_FILE",
            id="path",
        ),
        pytest.param(
            {"ENCORD_SSH_KEY": f"ssh-ed25519 AAAA{SECRET}"}, CredentialsError, 4, "public key", id="public key"
        ),
        pytest.param(
            {"ENCORD_SSH_KEY_FILE": "{folder}/missing"}, CredentialsError, 4, "does not exist", id="missing file"
        ),
        pytest.param({"ENCORD_SSH_KEY_FILE": "{folder}"}, CredentialsError, 4, "can't be read", id="folder"),
        pytest.param(
            {"ENCORD_SSH_KEY_FILE": f"-----BEGIN OPENSSH PRIVATE KEY----- {SECRET}"},
            CredentialsError,
            4,
            "put the key in ENCORD_SSH_KEY",
            id="key instead of path",
        ),
        *(
            pytest.param({"ENCORD_SSH_KEY_FILE": value}, CredentialsError, 4, "put the key in ENCORD_SSH_KEY", id=name)
            for name, value in KEY_PIECES.items()
        ),
    ],
)
def test_a_wrong_key_variable_is_named_with_the_remedy(
    variables: dict[str, str], error: type[RegistrationPipelineError], status: int, says: str, tmp_path: Path
) -> None:
    environ = {name: value.replace("{folder}", str(tmp_path)) for name, value in variables.items()}
    with pytest.raises(error) as raised:
        encord_private_key(environ)
    assert type(raised.value) is error
    assert raised.value.exit_status == status
    assert says in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "domain",
    [
        "api.encord.com",
        "https://",
        "https://host/api",
        "https://host:port",
        f"https://x:{SECRET}@host",
        "ftp://host",
        "https://host?x",
        "https://ho st",
    ],
)
def test_a_wrong_domain_in_the_environment_is_named(domain: str, tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(FILES, encoding="utf-8")
    settings = load_settings(file, {})
    with pytest.raises(ConfigurationError, match="ENCORD_DOMAIN: must be https://host") as raised:
        encord_domain(settings, {"ENCORD_DOMAIN": domain})
    assert raised.value.exit_status == 2
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("path", ["{folder}/encord_key", "{folder}/sub/id_ed25519", "~/encord_key", "./encord_key.pem"])
def test_a_path_that_is_certainly_one_is_shown(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    value = path.replace("{folder}", str(tmp_path))
    with pytest.raises(CredentialsError, match="does not exist") as raised:
        encord_private_key({"ENCORD_SSH_KEY_FILE": value, "HOME": str(tmp_path)})
    assert value.replace("~", str(tmp_path)).removeprefix("./") in str(raised.value)
