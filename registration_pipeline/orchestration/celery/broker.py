"""Asks a Celery application's broker, within a few seconds, whether it answers, and names it without its credentials.

What does not belong here: what follows for a run (``launcher.py``) or for a preflight (``services.py``).
"""

from typing import Any

from kombu.exceptions import OperationalError

from registration_pipeline.bounds.calls import TooLongError, within

BROKER_SECONDS = 5.0
"""How long a broker has for its answer: the daemon starts no other run meanwhile, and a person waits for a preflight."""


class SilentBrokerError(Exception):
    """The broker does not answer; the text says why, without credentials."""


def broker_errors(app: Any) -> tuple[type[BaseException], ...]:
    """Return what is raised when the connection to the broker can't be made, breaks, or takes too long."""
    return (TooLongError, OSError, OperationalError, *app.connection_for_write().connection_errors)


def ask_broker(app: Any, seconds: float = BROKER_SECONDS) -> None:
    """Connect to it; what fails is tried once more.

    Args:
        app: Celery's.
        seconds: to wait, also for a machine from which nothing comes back.

    Raises:
        SilentBrokerError: it does not answer.
    """

    def ask() -> None:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)

    try:
        within(seconds, ask)
    except broker_errors(app) as error:
        raise SilentBrokerError(str(error).rstrip(".") or type(error).__name__) from None


def address_of(urls: str) -> str:
    """Return where a broker or a result backend is: its URL, or several behind ``;``, without users, passwords and options."""
    # Not by the rules of URLs: with a password that is not encoded as it should be, these would show a part of it.
    parts = [url.partition("://") for url in urls.split(";")]
    return ";".join(f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}" for scheme, _, rest in parts)
