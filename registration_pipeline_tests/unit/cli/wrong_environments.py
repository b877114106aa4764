"""What can be wrong around a good configuration, and what a command has to say of it.

What does not belong here: the commands (``test_cli_wrong_environments.py``), and configurations that are wrong themselves
(``unit/settings``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

SECRET = "wJalrXUtnFEMI-tell-nobody"
AWS_CONFIG = "aws-config"


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """Something wrong around an otherwise good configuration.

    Args:
        status: of every command that meets it.
        says: parts of the message.
        settings: of the source; ``{…}`` in texts stands for an address of ``Places``.
        environ: variables; None takes one away.
        text: lines before the configuration.
        aws_config: the AWS configuration file.
    """

    status: int
    says: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str | None] = field(default_factory=dict)
    text: str = ""
    aws_config: str | None = None

    def at(self, endpoint: str | None) -> Wrong:
        """The same for a source in S3 at another endpoint."""
        return replace(self, settings=s3(endpoint))


AWS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
NO_AWS: dict[str, str | None] = {**AWS, "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


def s3(endpoint: str | None, **storage: str) -> dict[str, Any]:
    where = {"endpoint_url": endpoint} if endpoint else {}
    return {"uri": "s3://no-such-bucket/raw/", "storage": {"region": "eu-west-2", **where, **storage}}


def google(**environ: str | None) -> dict[str, Any]:
    """A source at Google's with these variables."""
    return {"settings": {"uri": "gs://no-such-bucket/raw/"}, "environ": {"NO_GCE_CHECK": "true", **environ}}


def in_state_bucket(says: tuple[str, ...], status: int = 4, **environ: str | None) -> Wrong:
    """A state in S3 with these variables; the source is good."""
    variables = {**AWS, "AWS_REGION": "eu-west-2", **environ}
    return Wrong(status=status, says=says, environ=variables, text="state: s3://no-such-bucket/state\n")


def profile(lines: str, says: tuple[str, ...], status: int = 4, **environ: str | None) -> Wrong:
    """An AWS profile ``fleet`` that can't log in, for a source in S3."""
    return Wrong(
        status=status,
        says=says,
        settings=s3("{moto}"),
        environ={**NO_AWS, "AWS_PROFILE": "fleet", **environ},
        aws_config=f"[profile fleet]\nregion = eu-west-2\n{lines}\n",
    )


WRONG = {
    "no key": Wrong(status=4, says=("there is no Encord key", "ENCORD_SSH_KEY"), environ={"ENCORD_SSH_KEY_FILE": None}),
    "key file that is not there": Wrong(
        status=4, says=("names a file that does not exist",), environ={"ENCORD_SSH_KEY_FILE": "/no/such/key"}
    ),
    "key file that is a folder": Wrong(status=4, says=("can't be read",), environ={"ENCORD_SSH_KEY_FILE": "/"}),
    "public key": Wrong(
        status=4, says=("this is the public key",), environ={"ENCORD_SSH_KEY_FILE": "{root}/encord/id_ed25519.pub"}
    ),
    "path in the place of the key": Wrong(
        status=4,
        says=("put a path in ENCORD_SSH_KEY_FILE",),
        environ={"ENCORD_SSH_KEY_FILE": None, "ENCORD_SSH_KEY": "/home/me/key"},
    ),
    "key in the place of the path": Wrong(
        status=4,
        says=("holds a key instead of a path",),
        environ={"ENCORD_SSH_KEY_FILE": "{other_key}"},
    ),
    "half a key": Wrong(
        status=4, says=("incomplete",), environ={"ENCORD_SSH_KEY_FILE": None, "ENCORD_SSH_KEY": "{half_key}"}
    ),
    "key that nobody registered": Wrong(
        status=4,
        says=("refused the key", "registered in Encord"),
        environ={"ENCORD_SSH_KEY_FILE": None, "ENCORD_SSH_KEY": "{other_key}"},
    ),
    "two different keys": Wrong(
        status=2, says=("hold different keys; unset one",), environ={"ENCORD_SSH_KEY": "{other_key}"}
    ),
    "domain that is no address": Wrong(
        status=2, says=("ENCORD_DOMAIN: must be https://host", "'encord'"), environ={"ENCORD_DOMAIN": "encord"}
    ),
    "nobody listens at the domain": Wrong(
        status=4,
        says=("{closed} can't be reached (", "Connection refused", "(ENCORD_DOMAIN, else"),
        environ={"ENCORD_DOMAIN": "{closed}"},
    ),
    "another web server at the domain": Wrong(
        status=4, says=("at {web}: ", "(ENCORD_DOMAIN, else"), environ={"ENCORD_DOMAIN": "{web}"}
    ),
    "integration that is not there": Wrong(
        status=4,
        says=("Encord integration 'prod-aws' does not exist", "may use: 'sandbox'"),
        settings={"encord": {"integration": "prod-aws"}},
    ),
    "folder UUID that is not there": Wrong(
        status=4,
        says=("folder 11111111-2222-4333-8444-555555555555", "does not exist"),
        settings={"encord": {"integration": "sandbox", "folder": "11111111-2222-4333-8444-555555555555"}},
    ),
    "directory that is not there": Wrong(
        status=4,
        says=("is not a directory", "sources.fleet-cameras.uri"),
        settings={"uri": "file:///no/such/directory"},
    ),
    "bucket that is not there": Wrong(
        status=4, says=("Bucket no-such-bucket does not exist", "Fix"), settings=s3("{moto}"), environ=dict(AWS)
    ),
    "credentials that S3 refuses": Wrong(
        status=4,
        says=("S3 refused the credentials for bucket no-such-bucket (InvalidAccessKeyId)", "AWS_ACCESS_KEY_ID"),
        settings=s3("{refusing}"),
        environ=dict(AWS),
    ),
    "no credentials for S3": Wrong(status=4, says=("credentials",), settings=s3("{moto}"), environ=NO_AWS),
    "nobody listens at the endpoint": Wrong(
        status=4,
        says=("The endpoint of bucket no-such-bucket at {closed} can't be reached", "storage.endpoint_url"),
        settings=s3("{closed}"),
        environ=dict(AWS),
    ),
    "another web server at the endpoint": Wrong(
        status=4, says=("at {web} does not speak S3", "storage.endpoint_url"), settings=s3("{web}"), environ=dict(AWS)
    ),
    "profile that is not there": Wrong(
        status=2,
        says=("sources.fleet-cameras.storage.profile: profile 'nobody' is not", "aws configure list-profiles"),
        settings=s3("{moto}", profile="nobody"),
        environ=dict(AWS),
    ),
    "endpoint variable that leads a source elsewhere": Wrong(
        status=2,
        says=("sources.fleet-cameras.storage.endpoint_url", "{moto}, as AWS_ENDPOINT_URL_S3", "lead to Amazon S3"),
        settings=s3(None),
        environ={**AWS, "AWS_ENDPOINT_URL_S3": "{moto}"},
    ),
    "endpoint variable for all services": Wrong(
        status=2,
        says=("sources.fleet-cameras.storage.endpoint_url", "{moto}, as AWS_ENDPOINT_URL (or"),
        settings=s3(None) | {"url_style": "s3"},
        environ={**AWS, "AWS_ENDPOINT_URL": "{moto}"},
    ),
    "endpoint of a profile": profile(
        "endpoint_url = {moto}\naws_access_key_id = a\naws_secret_access_key = b",
        ("`endpoint_url` in profile 'fleet'", "sources.fleet-cameras.storage.endpoint_url"),
        2,
    ).at(None),
    "endpoint of a profile's services": profile(
        "services = s\naws_access_key_id = a\naws_secret_access_key = b\n[services s]\ns3 =\n  endpoint_url = {moto}",
        ("`endpoint_url` in profile 'fleet'", "sources.fleet-cameras.storage.endpoint_url"),
        2,
    ).at(None),
    "Amazon's endpoint in another partition": Wrong(
        status=2,
        says=("lead to Amazon S3 (partition aws-cn)", "AWS_ENDPOINT_URL_S3"),
        settings=s3(None, region="cn-north-1"),
        environ={**AWS, "AWS_ENDPOINT_URL_S3": "https://s3.eu-west-2.amazonaws.com"},
    ),
    "half of the AWS credentials": Wrong(
        status=4,
        says=("incomplete: AWS_SECRET_ACCESS_KEY is missing",),
        settings=s3("{moto}"),
        environ={**AWS, "AWS_SECRET_ACCESS_KEY": None},
    ),
    "credential process that fails": profile("credential_process = /bin/false", ("profile 'fleet' in", "by hand")),
    "credential process without JSON": profile("credential_process = /bin/echo " + SECRET, ("profile 'fleet' in",)),
    "credential process of another form": profile("credential_process = /bin/echo []", ("profile 'fleet' in",)),
    "credential process that is not there": profile("credential_process = /no/such/program", ("/no/such/program",)),
    "AWS configuration that can't be parsed": profile("[", ("can't be parsed", "AWS_CONFIG_FILE"), 2),
    "source profile that is not there": profile(
        "role_arn = arn:aws:iam::1:role/r\nsource_profile = other", ('"other"', "profile 'fleet' in"), 2
    ),
    "SSO session that is not there": profile(
        "sso_session = other\nsso_account_id = 1\nsso_role_name = r", ('"other"', "profile 'fleet' in"), 2
    ),
    "web identity token that is not there": Wrong(
        status=4,
        says=("/no/such/token, which", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        settings=s3("{moto}"),
        environ={
            **NO_AWS,
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such/token",
            "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
        },
    ),
    "container URI that is none": Wrong(
        status=4,
        says=("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
        settings=s3("{moto}"),
        environ={**NO_AWS, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/x"},
    ),
    "endpoint variable that is no address": Wrong(
        status=2,
        says=("AWS_ENDPOINT_URL_S3 is not an address",),
        settings=s3(None),
        environ={**AWS, "AWS_ENDPOINT_URL_S3": "http://[::1"},
    ),
    "AWS_PROFILE that is not there": Wrong(
        status=2,
        says=("AWS_PROFILE names a profile that is not on this machine, 'nobody'",),
        settings=s3("{moto}"),
        environ={**AWS, "AWS_PROFILE": "nobody"},
    ),
    "Google's key file that is a folder": Wrong(
        status=4,
        says=("GOOGLE_APPLICATION_CREDENTIALS names {root}, which", "Is a directory"),
        **google(GOOGLE_APPLICATION_CREDENTIALS="{root}"),
    ),
    "Google's key file of another form": Wrong(
        status=4,
        says=("GOOGLE_APPLICATION_CREDENTIALS names {root}/list.json, which",),
        **google(GOOGLE_APPLICATION_CREDENTIALS="{root}/list.json"),
    ),
    "emulator variable of Google's": Wrong(
        status=2,
        says=("sources.fleet-cameras.storage.endpoint_url", "{web}, as STORAGE_EMULATOR_HOST"),
        **google(STORAGE_EMULATOR_HOST="{web}"),
    ),
    "connection string of another of Azure's clouds": Wrong(
        status=2,
        says=("https://account1.blob.core.chinacloudapi.cn", "AZURE_STORAGE_CONNECTION_STRING (BlobEndpoint or"),
        settings={"uri": "az://box@account1/"},
        environ={
            "AZURE_STORAGE_CONNECTION_STRING": "AccountName=account1;AccountKey=c2VjcmV0;"
            "EndpointSuffix=core.chinacloudapi.cn"
        },
    ),
    "Azure's certificate that is not there": Wrong(
        status=4,
        says=("/no/such/certificate", "AZURE_CLIENT_CERTIFICATE_PATH"),
        settings={"uri": "az://box@account1/"},
        environ={
            "AZURE_TENANT_ID": "t",
            "AZURE_CLIENT_ID": "c",
            "AZURE_CLIENT_CERTIFICATE_PATH": "/no/such/certificate",
        },
    ),
    "state's bucket that is not there": in_state_bucket(
        ("The bucket of the state, s3://no-such-bucket/state, does not exist",), AWS_ENDPOINT_URL_S3="{moto}"
    ),
    "state's endpoint without scheme": in_state_bucket(
        ("AWS_ENDPOINT_URL_S3: the endpoint of the state must be http", "(given: '127.0.0.1:9000')"),
        2,
        AWS_ENDPOINT_URL_S3="127.0.0.1:9000",
    ),
    "state's endpoint without scheme, for all services": in_state_bucket(
        ("AWS_ENDPOINT_URL: the endpoint of the state must be http", "(given: 'minio')"), 2, AWS_ENDPOINT_URL="minio"
    ),
    "nobody listens at the state's endpoint": in_state_bucket(
        ("The store at {closed} did not serve",), AWS_ENDPOINT_URL="{closed}"
    ),
    "state's bucket that may not be written": in_state_bucket(
        ("refuses access to s3://no-such-bucket/state/", "permission to list, read, write and delete"),
        AWS_ENDPOINT_URL="{read_only}",
    ),
    "state's credentials in half": in_state_bucket(
        ("credentials for the state are incomplete: AWS_SECRET_ACCESS_KEY is missing",), AWS_SECRET_ACCESS_KEY=None
    ),
    "state's web identity token that is not there": in_state_bucket(
        ("AWS_WEB_IDENTITY_TOKEN_FILE names /no/such/token",),
        AWS_ACCESS_KEY_ID=None,
        AWS_SECRET_ACCESS_KEY=None,
        AWS_WEB_IDENTITY_TOKEN_FILE="/no/such/token",
        AWS_ROLE_ARN="arn:aws:iam::1:role/r",
    ),
    "relative DAGSTER_HOME": Wrong(
        status=2,
        says=("DAGSTER_HOME: must be an absolute path, not 'here/dagster'",),
        environ={"DAGSTER_HOME": "here/dagster"},
    ),
    "DAGSTER_HOME that is a file": Wrong(
        status=2, says=("DAGSTER_HOME", "registration.yaml"), environ={"DAGSTER_HOME": "{root}/registration.yaml"}
    ),
    "state that no one can write": Wrong(
        status=4, says=("/proc/registration/", "`state` in registration.yaml"), text="state: /proc/registration\n"
    ),
    "DAGSTER_HOME that no one can write": Wrong(
        status=2,
        says=("DAGSTER_HOME", "/proc/registration-home"),
        environ={"DAGSTER_HOME": "/proc/registration-home"},
    ),
    "state that is a file": Wrong(status=4, says=("{root}/registration.yaml",), text="state: ./registration.yaml\n"),
    "unknown key": Wrong(
        status=2,
        says=("registration.yaml:1: stat: unknown key; did you mean 'state'?",),
        text=f"stat: {SECRET}\n",
    ),
    "unset variable": Wrong(
        status=2,
        says=("registration.yaml:1: state: the environment variable NOBODY_SET_THIS is not set",),
        text="state: ${{NOBODY_SET_THIS}}\n",
    ),
    "broken YAML": Wrong(status=2, says=("not valid YAML",), text="sources: [\n"),
    "scheme that nobody lists": Wrong(
        status=2,
        says=("sources.fleet-cameras.uri: must be s3://", "ftp:// is none of these"),
        settings={"uri": "ftp://bucket/raw/"},
    ),
    "two mistakes": Wrong(
        status=2,
        says=(
            "sources.fleet-cameras.max_in_flight: must be 1 or more (given: '0')",
            "sources.fleet-cameras.schedule",
            "(given: 'nightly')",
        ),
        settings={"max_in_flight": 0, "schedule": "nightly"},
    ),
}
