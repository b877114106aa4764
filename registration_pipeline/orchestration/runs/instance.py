"""The Dagster instance that commands use: ``DAGSTER_HOME``, else a folder beside ``registration.yaml``."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.private_dagster import NO_CAPTURE, CheckError, InstanceRef
from registration_pipeline.orchestration.runs.storage_trouble import (
    INSTANCE_FILE,
    storage_errors,
    storage_trouble,
    watch_retries,
)
from registration_pipeline.settings import Settings
from registration_pipeline.settings.load import DEFAULT_FILE

DEFAULT_HOME = ".dagster"
_LOCK_FILE = "registration-pipeline.lock"


def dagster_home(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Return the folder of the instance, absolute."""
    configured = environ.get("DAGSTER_HOME")
    if not configured:
        return settings.base_folder / DEFAULT_HOME
    home = Path(configured).expanduser()
    if not home.is_absolute():
        raise ConfigurationError(
            f"must be an absolute path, not {configured!r}; Dagster itself refuses any other", key="DAGSTER_HOME"
        )
    return home


def home_of_another(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """Return, as a clause, that the instance is the one beside another configuration, and what to do; None: it is not."""
    home = dagster_home(settings, environ).resolve()
    own = settings.base_folder.resolve()
    if home.name != DEFAULT_HOME or home.parent == own or not (home.parent / DEFAULT_FILE).exists():
        return None
    return (
        f"DAGSTER_HOME is the instance of another configuration, {home.parent / DEFAULT_FILE}: sources of both share its "
        f"runs and partitions. Set it to {own / DEFAULT_HOME}, or unset it for commands"
    )


@contextmanager
def open_instance(
    settings: Settings, environ: Mapping[str, str], *, is_capturing: bool = False
) -> Iterator[dg.DagsterInstance]:
    """Open the instance, making its folder and ``dagster.yaml`` on first use.

    Args:
        settings: of the configuration.
        environ: the environment.
        is_capturing: with the place where the output of runs is kept, which no run of a command needs.

    Raises:
        ConfigurationError: the folder can't be made or written, or its ``dagster.yaml`` is wrong.
        DagsterStorageError: its database can't be used, now or inside the block.
    """
    home = dagster_home(settings, environ)
    watch_retries()
    with storage_errors(home):
        with ExitStack() as stack:
            try:
                home.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_alone_in(home))
                prepare_home(home)
            except OSError as error:
                raise ConfigurationError(
                    f"the Dagster instance folder {home} can't be used: {error}; set DAGSTER_HOME to a folder that can be "
                    "written",
                    key="DAGSTER_HOME",
                ) from error
            opened = _opened(home, {} if is_capturing else NO_CAPTURE)
        with opened as instance:
            yield instance


@contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Keep other commands from opening the instance meanwhile.

    Dagster makes its tables without a lock: of two first commands at once both would stamp a database with its version, and
    one that is stamped twice can't be opened again. The kernel drops the lock with the process.
    """
    descriptor = os.open(home / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _opened(home: Path, overrides: Mapping[str, Any]) -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))
    except (dg.DagsterError, CheckError, OSError, yaml.YAMLError) as error:
        if storage_trouble(error) is not None:
            raise
        raise ConfigurationError(
            f"the Dagster instance can't be opened with {home / INSTANCE_FILE}: {error}; fix that file, or remove it "
            "to have the default one made",
            key="DAGSTER_HOME",
        ) from error


def prepare_home(home: Path) -> None:
    """Put our ``dagster.yaml`` into a home that has none."""
    if not (home / INSTANCE_FILE).exists():
        with as_file(files("registration_pipeline.orchestration") / INSTANCE_FILE) as shipped:
            shutil.copyfile(shipped, home / INSTANCE_FILE)
