"""What a connection string of Azure Storage says. Only reading one belongs here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_EMULATOR: Final = {"accountname": "devstoreaccount1", "blobendpoint": "http://127.0.0.1:10000/devstoreaccount1"}
"""What ``UseDevelopmentStorage=true`` stands for (Azure's "Configure a connection string for Azurite"); its key is public."""


def connection_parts(text: str, account: str) -> dict[str, str]:
    """Return the parts of a connection string by lower-case name; nothing if it is of another account.

    Args:
        text: the connection string; may be empty.
        account: the storage account that is asked.
    """
    parts = {
        name.strip().lower(): value.strip() for name, _, value in (part.partition("=") for part in text.split(";"))
    }
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        parts = {**_EMULATOR, **parts}
    return parts if parts.get("accountname", account) == account else {}


def connection_endpoint(connection: Mapping[str, str]) -> str | None:
    """Return where a connection string says that the account is, as Azure's own client reads it; None if it does not."""
    if endpoint := connection.get("blobendpoint"):
        return endpoint.rstrip("/")
    if (suffix := connection.get("endpointsuffix")) and (account := connection.get("accountname")):
        return f"{connection.get('defaultendpointsprotocol') or 'https'}://{account}.blob.{suffix}"
    return None
