"""Errors of Dagster's own database, in words: which setting of ``dagster.yaml`` it is, what happened, what to do.

What does not belong here: a full or read-only disk that another file than the database's meets (``cli/errors.py``), and the
pipeline's state.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from registration_pipeline.errors import DagsterStorageError, RegistrationPipelineError

INSTANCE_FILE = "dagster.yaml"
_RETRYING = "Retrying failed database connection"
_STORAGE_KEYS = ("storage", "run_storage", "event_log_storage", "schedule_storage")
_DRIVERS = {"psycopg", "psycopg2", "MySQLdb", "pymysql", "mysql", "dagster_postgres", "dagster_mysql"}
_NOT_IMPORTED = re.compile(r"Couldn't import module (\w+) when attempting to load the configurable class")
_OF_A_DRIVER = re.compile(r"^\(?(sqlite3|psycopg2?|pymysql|MySQLdb|mysql)\b[\w.]*\.(\w+)[:)] *(.*)", re.DOTALL)
_OUR_BUGS = {"IntegrityError", "DataError", "ProgrammingError"}
_LOCKED, _DAMAGED = ("locked", "busy"), ("malformed", "not a database")
_NOT_WRITTEN = ("database or disk is full", "readonly database", "unable to open database file", "disk I/O error")
_AGAIN = "Nothing that was registered is lost: run again then."


class _Retries(logging.Filter):
    """Keeps what Dagster's storages say of each try to connect; lets the first through, in words of ours."""

    last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """See ``logging.Filter``."""
        text = record.getMessage()
        if not text.startswith(_RETRYING):
            return True
        is_first = not self.last
        # Behind the class of the driver's error, which ends in a parenthesis; the lines below it are advice.
        self.last = text.removeprefix(_RETRYING).partition(") ")[2].partition("\n")[0] or "no connection"
        record.msg, record.args = f"Dagster's database does not answer yet ({self.last}); it is tried again.", None
        return is_first


_RETRIES = _Retries()


def watch_retries() -> None:
    """Let Dagster's storages say only once that they try to connect again, for up to a minute: they log it at the root."""
    root = logging.getLogger()
    if _RETRIES not in root.filters:
        root.addFilter(_RETRIES)
    _RETRIES.last = ""


def silent_storage(home: Path, seconds: float) -> DagsterStorageError:
    """Return the error of a database that did not answer in time, with what its last try met."""
    if is_sqlite(home):
        return DagsterStorageError(
            f"{_setting(home)}: Dagster's SQLite files could not be opened within {seconds:g} s. Nothing is wrong with the "
            "setting: this machine is busy, or the disk of that folder is slow. Try again when it is less busy; if it lasts, "
            "set DAGSTER_HOME to a folder on a local disk."
        )
    cause = f": {_RETRIES.last}" if _RETRIES.last else ""
    return DagsterStorageError(
        f"{_setting(home)}: Dagster's database did not answer within {seconds:g} s{cause}. Start it, or correct this setting. "
        f"{_AGAIN}"
    )


@contextmanager
def storage_errors(home: Path) -> Iterator[None]:
    """Turn errors of Dagster's database inside the block into one that says what to do.

    Args:
        home: the folder of the instance.

    Raises:
        DagsterStorageError: instead of them.
    """
    try:
        yield
    except RegistrationPipelineError:
        raise
    except Exception as error:
        said = storage_trouble(error)
        if said is None:
            raise
        raise DagsterStorageError(f"{_setting(home)}: {said}") from error


def storage_trouble(error: BaseException) -> str | None:
    """Return what happened and what to do; None for whatever is not the database's."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        # A run keeps only the text of what ended it: the class of the driver's error, and what the driver said.
        texts = [f"{type(cause).__module__}.{type(cause).__name__}: {cause}", str(cause.args[0] if cause.args else "")]
        said = next(filter(None, map(_of_driver, texts)), None) or _of_import(cause) or _of_address(cause)
        if said is not None:
            return said
        cause = cause.__cause__ or cause.__context__
    return None


def is_cut_connection(error: BaseException) -> bool:
    """Return whether a database in SQL ended the connection, or took none: what was asked may or may not have been done."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (OperationalError, InterfaceError)):
            return True
        if isinstance(cause, DBAPIError) and cause.connection_invalidated:
            return True
        cause = cause.__cause__
    return False


def _of_driver(text: str) -> str | None:
    found = _OF_A_DRIVER.match(text)
    if found is None or found[2] in _OUR_BUGS:
        return None
    lines = [line.strip() for line in found[3].splitlines() if line.strip()]
    cause = lines[0].removesuffix(".") if lines else found[2]
    if found[1] != "sqlite3":
        return f"Dagster's database can't be used: {cause}. Start it, or correct this setting. {_AGAIN}"
    if any(word in cause for word in _LOCKED):
        return (
            f"Dagster's database is in use by another process ({cause}), for example by a backup or a copy of its files. Wait "
            f"until that one has ended, or end it. {_AGAIN}"
        )
    if any(word in cause for word in _DAMAGED):
        return (
            f"Dagster's database is damaged ({cause}). Restore it from a backup, or move it away to begin a new one: the next "
            "sync shows every chunk again, and only the history of runs is lost."
        )
    if any(words in cause for words in _NOT_WRITTEN):
        return (
            f"Dagster's own files can't be written: {cause}. Free space or fix the permission of this folder, or set "
            f"DAGSTER_HOME to another place. {_AGAIN}"
        )
    return None


def _of_import(error: BaseException) -> str | None:
    module = error.name if isinstance(error, ImportError) else None
    found = _NOT_IMPORTED.search(str(error))
    module = module or (found[1] if found else None)
    if module is None or module.partition(".")[0] not in _DRIVERS:
        return None
    with_dialect = (
        " Dagster stores nothing with psycopg 3, which SQLAlchemy 2.1 takes for `postgresql://`: install "
        "`registration-pipeline[postgres]`, which keeps SQLAlchemy below 2.1, or write `postgresql+psycopg2`, as "
        "`scheme` of `postgres_db` or in the URL."
    )
    what = (
        with_dialect
        if module == "psycopg"
        else " Install it where this command runs, in the version that fits Dagster's."
    )
    return f"Dagster's database needs the Python module {module!r}, which can't be imported here.{what} {_AGAIN}"


def _of_address(error: BaseException) -> str | None:
    # Its text may quote the address, and with it the password.
    is_address = type(error).__module__ == "sqlalchemy.exc" and type(error).__name__ in {
        "ArgumentError",
        "NoSuchModuleError",
    }
    return "this is not the address of a database that Dagster can use; correct it" if is_address else None


def _setting(home: Path) -> str:
    """Return where the storage is configured, with its line; by default it lies in the instance's folder."""
    for key, value in _storages(home):
        kinds = value.value if key.value == "storage" and isinstance(value, yaml.MappingNode) else []
        kind = next((f".{name.value}" for name, _ in kinds), "")
        return f"{home / INSTANCE_FILE}:{key.start_mark.line + 1}: {key.value}{kind}"
    return f"{home} (no storage is set in {INSTANCE_FILE})"


def is_sqlite(home: Path) -> bool:
    """Return whether all that Dagster stores is in files of SQLite, as by default."""
    return all("sqlite" in yaml.serialize(value).lower() for _, value in _storages(home))


def _storages(home: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    """Return the keys of ``dagster.yaml`` that configure a storage, with their values."""
    try:
        root = yaml.compose((home / INSTANCE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return [(key, value) for key, value in pairs if key.value in _STORAGE_KEYS]
