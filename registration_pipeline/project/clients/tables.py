"""From the bucket of a table to what lists and reads it.

What does not belong here: which buckets there are (``facts/tables/files.py``), listing and reading. A table's bucket has no
URLs that Encord reads, so its client may lead wherever the environment says.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from registration_pipeline.project.clients.checked import CheckedClients
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.project.clients.readers import make_reader
from registration_pipeline.project.clients.stores import SettingsClients

if TYPE_CHECKING:
    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.project.clients.stores import StoreClients
    from registration_pipeline.settings import SourceSettings


class ClientPlaces:
    """``TablePlaces`` with the clients that sources have.

    Args:
        clients: give the client of a store; None: those of the settings and the environment.
        environ: the environment, for errors to name the variable that is wrong.
    """

    def __init__(self, clients: "StoreClients | None" = None, environ: Mapping[str, str] = os.environ) -> None:
        clients = clients or SettingsClients(environ)
        self._clients, self._environ = CheckedClients(clients, environ, has_urls=False), environ

    def lister(self, source: "SourceSettings") -> "ObjectLister":
        """See ``TablePlaces.lister``."""
        return make_lister(source, self._clients, environ=self._environ)

    def reader(self, source: "SourceSettings") -> "ObjectReader":
        """See ``TablePlaces.reader``."""
        return make_reader(source, self._clients, environ=self._environ)
