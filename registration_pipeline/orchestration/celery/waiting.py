"""Which tasks are with the broker: those that wait in a queue for a worker, and those that no worker has acknowledged.

What does not belong here: what the workers have (``signs.py``).
"""

import json
from collections.abc import Iterator
from typing import Any

from kombu.exceptions import OperationalError

_NOT_FOUND = "404"


class BrokerAwayError(Exception):
    """The broker does not answer, so nothing is known of a task that waits."""


class Waiting:
    """What a broker held of one queue when it was asked.

    Args:
        ids: of the tasks that it held; None: this broker says only how many there are.
        count: how many waited in the queue.
    """

    def __init__(self, ids: frozenset[str] | None, count: int) -> None:
        self._ids, self._count = ids, count

    def may_hold(self, task_id: str) -> bool:
        """Return whether a task is with the broker, or may be: of a count every task may be one."""
        return self._count > 0 if self._ids is None else task_id in self._ids


def waiting_in(app: Any, queue: str) -> Waiting:
    """Ask the broker what it holds of a queue.

    Redis says which tasks. RabbitMQ, and every other broker, says how many.

    Args:
        app: Celery's.
        queue: its name.

    Raises:
        BrokerAwayError: there is no answer.
    """
    with app.connection_for_read() as connection:
        away = (OSError, OperationalError, *connection.connection_errors, *connection.channel_errors)
        try:
            connection.ensure_connection(max_retries=1, interval_start=0)
            channel = connection.default_channel
            if connection.transport.driver_type == "redis":
                return _in_redis(channel, queue)
            return Waiting(None, channel.queue_declare(queue, passive=True).message_count)
        except away as error:
            if str(getattr(error, "reply_code", "")) == _NOT_FOUND:
                return Waiting(None, 0)  # a broker without the queue has nothing in it
            raise BrokerAwayError(str(error)) from error


def _in_redis(channel: Any, queue: str) -> Waiting:
    """Read the lists of a queue, one for each priority, and what workers have taken and not acknowledged.

    The latter is of all queues. It goes back to its queue when the worker does not acknowledge it in an hour.
    """
    prefix, taken = channel.global_keyprefix, channel.unacked_key
    lists = [channel._q_for_pri(queue, priority) for priority in channel.priority_steps]  # noqa: SLF001
    with channel.conn_or_acquire() as client, client.pipeline() as pipe:  # a transaction: all of it at one moment
        for name in lists:
            # Kombu puts its prefix before the names of the commands that it uses itself; LRANGE and HVALS are not among them.
            pipe.llen(name).lrange(prefix + name, 0, -1)
        counts_and_values = pipe.hlen(taken).hvals(prefix + taken).execute()
    counts, values = counts_and_values[0::2], counts_and_values[1::2]
    count = sum(counts[:-1])
    if counts != [len(found) for found in values]:
        return Waiting(None, sum(counts))
    return Waiting(frozenset(_ids([*values[:-1]], values[-1])), count)


def _ids(queued: list[list[bytes]], taken: list[bytes]) -> Iterator[str]:
    messages = [json.loads(raw) for found in queued for raw in found]
    messages += [json.loads(raw)[0] for raw in taken]
    for message in messages:
        yield message.get("headers", {}).get("id", "")
