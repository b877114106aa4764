"""Datasets through Encord's own SDK: found and made with its v2 API, read and linked to with the older one.

What does not belong here: what exceptions mean (``errors.py``), how v1 requests go out (``queries.py``), and what is linked
where (``datasets/``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from encord.constants.string_constants import TYPE_DATASET
from encord.exceptions import GenericServerError, RequestException
from encord.http.query_methods import QueryMethods
from encord.http.v2.api_client import ApiClient
from encord.orm.dataset import (
    CreateDatasetPayload,
    CreateDatasetResponseV2,
    DataLinkDuplicatesBehavior,
    DataRows,
    Dataset,
    DatasetLinkItems,
    DatasetsWithUserRolesListParams,
    DatasetsWithUserRolesListResponse,
)

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.errors import NotFoundError, PermanentError
from registration_pipeline.submission.datasets.gateway import LinkReply
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.submission.encord.queries import BoundedQuerier
from registration_pipeline.submission.gateway import unguarded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TITLE = 300
_UNFILTERED = ("title_eq", "title_like", "created_before", "created_after", "data_types", "data_hashes")


class EncordDatasetGateway(EncordGateway):
    """``DatasetGateway`` on the Encord SDK, and all that ``EncordGateway`` is."""

    def find_dataset(self, title: str) -> str | None:
        """See ``DatasetGateway``."""
        params = DatasetsWithUserRolesListParams(
            title_eq=title,
            title_like=None,
            description_eq=None,
            description_like=None,
            created_before=None,
            created_after=None,
            edited_before=None,
            edited_after=None,
            include_org_access=False,
        )
        with self._translated(f"dataset {title!r}"):
            listed: DatasetsWithUserRolesListResponse = ApiClient(self._client.user_config.config).get(
                "datasets/list", params=params, result_type=DatasetsWithUserRolesListResponse
            )
        found = sorted(str(one.dataset_uuid) for one in listed.result if one.title == title)
        if len(found) > 1:
            raise NotFoundError(
                f"Encord holds {len(found)} datasets titled {title!r}: {shortened(', '.join(found))}. Rename all but "
                "the right one in Encord, or set dataset.title of the source to another title."
            )
        return found[0] if found else None

    def dataset_title(self, dataset_uuid: str) -> str:
        """See ``DatasetGateway``."""
        settings = {"fetch_client_metadata": False, "fetch_rows": False}
        with self._translated(f"dataset {dataset_uuid}"):
            found = self._querier(dataset_uuid).ask(
                QueryMethods.GET, Dataset, payload={"dataset_access_settings": settings}
            )
            if not isinstance(found, dict) or not isinstance(found.get("title"), str):
                raise RequestException("the reply is not a dataset")
        return shortened(found["title"], _TITLE)

    def dataset_size(self, dataset_uuid: str) -> int:
        """See ``DatasetGateway``."""
        settings = {"fetch_client_metadata": False, "fetch_rows": True}
        payload = {**dict.fromkeys(_UNFILTERED), "dataset_access_settings": settings}
        with self._translated(f"rows of dataset {dataset_uuid}"):
            return len(_rows(self._querier(dataset_uuid).ask(QueryMethods.GET, DataRows, payload=payload)))

    def create_dataset(self, title: str, *, may_send: Callable[[], None] = unguarded) -> str:
        """See ``DatasetGateway``."""
        payload = CreateDatasetPayload(title=title, description=None, create_backing_folder=False, legacy_call=False)
        with self._translated(f"creating dataset {title!r}", is_start=True):
            made: CreateDatasetResponseV2 = self._posting(may_send).post(
                "datasets", params=None, payload=payload, result_type=CreateDatasetResponseV2
            )
            return str(made.dataset_uuid)

    def link_items(self, dataset_uuid: str, item_uuids: Sequence[str]) -> LinkReply:
        """See ``DatasetGateway``.

        The request of ``Dataset.link_items``; the SDK's own rows take many times as long to parse, and fail on types of data
        that are new.
        """
        payload = {
            "item_uuids": [str(UUID(one)) for one in item_uuids],
            "duplicates_behavior": DataLinkDuplicatesBehavior.SKIP.value,
        }
        with self._translated(f"linking {len(item_uuids):,} items to dataset {dataset_uuid}"):
            try:
                answer = self._querier(dataset_uuid).ask(
                    QueryMethods.POST, DatasetLinkItems, uid=dataset_uuid, payload=payload
                )
            except GenericServerError as error:
                # An envelope with a code that this SDK does not know: the API itself refused.
                raise PermanentError(f"linking to dataset {dataset_uuid}: {shortened(str(error))}") from error
            rows = _rows(answer)
        named = (row.get("backing_item_uuid") for row in rows if isinstance(row, dict))
        return LinkReply(rows=len(rows), items=frozenset(one.lower() for one in named if isinstance(one, str)))

    def _querier(self, dataset_uuid: str) -> BoundedQuerier:
        config = self._client.user_config.config
        return BoundedQuerier(config, resource_type=TYPE_DATASET, resource_id=str(UUID(dataset_uuid)))


def _rows(answer: Any) -> list[Any]:
    if not isinstance(answer, list):
        raise RequestException("the reply is not a list of rows")
    return answer
