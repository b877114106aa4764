"""What is wrong with AWS's configuration and credentials on this machine, from what botocore raises while a client is made.

What does not belong here: errors of requests (``inventory/s3/errors.py``, ``state/bucket.py``). No text quotes a value of the
environment but paths and names of profiles, and nothing that a program printed: those may be secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.errors import ConfigurationError, CredentialsError
from registration_pipeline.settings.addresses import parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.errors import RegistrationPipelineError

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""In the order in which botocore asks them."""

_FILES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CA_BUNDLE")
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
# Names and texts of botocore's errors about the configuration, which hold names of settings and nothing secret.
_ABOUT_SETTINGS = (
    "InvalidConfig",
    "InvalidDefaultsMode",
    "InvalidRetry",
    "InvalidMaxRetry",
    "InvalidRegion",
    "InvalidS3",
)


def aws_problem(
    error: Exception,
    environ: Mapping[str, str],
    *,
    what: str,
    profile: str | None = None,
    profile_key: str | None = None,
) -> RegistrationPipelineError:
    """Return what an exception means that was raised while a client was made.

    Args:
        error: as botocore or Python raised it.
        environ: the environment, for the variable to name.
        what: what the client is for, e.g. ``bucket fleet-bucket``.
        profile: of the AWS configuration, where a setting of ours names it.
        profile_key: that setting, e.g. ``sources.fleet.storage.profile``.
    """
    if type(error).__name__ == "ProfileNotFound":
        return _no_profile(environ, profile, profile_key)
    return _wrong_configuration(error, environ, what, profile) or _no_credentials(error, environ, what, profile)


def _wrong_configuration(
    error: Exception, environ: Mapping[str, str], what: str, profile: str | None
) -> ConfigurationError | None:
    name = type(error).__name__
    if name == "ConfigParseError":
        path = getattr(error, "kwargs", {}).get("path")
        return ConfigurationError(
            f"the AWS configuration {path} can't be parsed, so there is no client for {what}; fix the file, or name another "
            "one in AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE"
        )
    if name.startswith(_ABOUT_SETTINGS):
        return ConfigurationError(
            f"the AWS configuration can't be used for {what}: {str(error).rstrip('.')}. Fix {_where(environ, profile)}, or "
            "the variable of that name"
        )
    if isinstance(error, ValueError) and ("endpoint" in str(error) or _is_endpoint_wrong(environ)):
        return ConfigurationError(
            f"{endpoint_setting(environ, profile)} is not an address, so there is no client for {what}; write "
            "http://host:port or https://host"
        )
    return None


def endpoint_setting(environ: Mapping[str, str], profile: str | None) -> str:
    """Return what gives S3 clients another endpoint than Amazon's where no setting of ours does."""
    found = next((name for name in ENDPOINT_VARIABLES if environ.get(name)), None)
    return found or f"`endpoint_url` in {_where(environ, profile)}"


def _is_endpoint_wrong(environ: Mapping[str, str]) -> bool:
    try:
        for name in filter(environ.get, ENDPOINT_VARIABLES):
            parse_endpoint(environ[name])
    except ValueError:
        return True
    return False


def _where(environ: Mapping[str, str], profile: str | None) -> str:
    profile = profile or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    return f"profile {profile!r} in {environ.get('AWS_CONFIG_FILE') or '~/.aws/config'}"


def _no_profile(environ: Mapping[str, str], profile: str | None, key: str | None) -> ConfigurationError:
    advice = "name one that `aws configure list-profiles` shows, or"
    if profile is not None:
        return ConfigurationError(
            f"profile {profile!r} is not in the AWS configuration of this machine; {advice} remove the key to use the default "
            "credentials",
            key=key,
        )
    variable = next((name for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if environ.get(name)), "AWS_PROFILE")
    return ConfigurationError(
        f"{variable} names a profile that is not on this machine, {environ.get(variable)!r}; {advice} unset it"
    )


def _no_credentials(error: Exception, environ: Mapping[str, str], what: str, profile: str | None) -> CredentialsError:
    details = getattr(error, "kwargs", {})
    if type(error).__name__ == "PartialCredentialsError":
        return CredentialsError(
            f"The AWS credentials for {what} are incomplete: {details.get('cred_var')} is missing "
            f"({details.get('provider')}). Set it, or take away the others to use another way to log in."
        )
    if isinstance(error, OSError) and error.filename is not None:
        return _no_file(error, environ, what, profile)
    name = type(error).__name__
    variables = [variable for variable in _CONTAINER if environ.get(variable)]
    first = f"Correct or unset {' and '.join(variables)}, or run" if variables else "Run"
    return CredentialsError(
        f"The AWS credentials for {what} can't be had ({name}). {first} what `credential_process` or the role in "
        f"{_where(environ, profile)} names by hand and fix it. Log in again, or set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY."
    )


def _no_file(error: OSError, environ: Mapping[str, str], what: str, profile: str | None) -> CredentialsError:
    file, why = str(error.filename), error.strerror or type(error).__name__
    variable = next((name for name in _FILES if environ.get(name) == file), None)
    named = (
        f"{variable} names {file}, which"
        if variable
        else f"{file}, which {_where(environ, profile)} or a variable names,"
    )
    return CredentialsError(
        f"{named} can't be used for {what} ({why}). Correct the path or the file's permissions, or log in in another way."
    )
