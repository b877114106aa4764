"""A bucket with an inventory report in another bucket, both over HTTP: through the settings, the lister and the commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from registration_pipeline.cli.app import app
from registration_pipeline.errors import NotFoundError
from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.project.clients.stores import SettingsClients
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.report_deliveries.delivery import AmazonDelivery, Entry, entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = pytest.mark.slow

YESTERDAY = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1)
QUIET = YESTERDAY - timedelta(days=60)


class ReportedBucket:
    """A bucket whose reports are in another."""

    def __init__(self, bucket: S3Bucket, reports: S3Bucket, folder: Path) -> None:
        self.bucket, self.reports, self._folder = bucket, reports, folder

    def deliver(self, *files: list[Entry], form: str = "Parquet", configuration: str = "nightly") -> None:
        delivery = AmazonDelivery(
            root=self._folder, bucket=self.bucket.name, form=form, configuration=configuration, prefix="dest/"
        )
        delivery.deliver(*files, at=YESTERDAY)
        for path in self._folder.rglob("*"):
            if path.is_file():
                self.reports.client.upload_file(str(path), self.reports.name, path.relative_to(self._folder).as_posix())

    def configure(self, prefix: str, configuration: str = "nightly") -> None:
        self.bucket.client.put_bucket_inventory_configuration(
            Bucket=self.bucket.name,
            Id=configuration,
            InventoryConfiguration={
                "Destination": {
                    "S3BucketDestination": {"Bucket": f"arn:aws:s3:::{self.reports.name}", "Format": "CSV"}
                },
                "IsEnabled": True,
                "Filter": {"Prefix": prefix},
                "Id": configuration,
                "IncludedObjectVersions": "Current",
                "Schedule": {"Frequency": "Daily"},
            },
        )

    def settings(self, **storage: Any) -> dict[str, Any]:
        own = {"region": "eu-west-2", "endpoint_url": self.bucket.endpoint_url}
        own["inventory_report"] = f"s3://{self.reports.name}/dest/"
        return {
            "uri": f"s3://{self.bucket.name}/raw/",
            "storage": own | storage,
            "encord": {"integration": "none"},
        }

    def source(self, **storage: Any) -> SourceSettings:
        return SourceSettings.model_validate({"name": "fleet", **self.settings(**storage)})


@pytest.fixture
def reported(s3_bucket: Callable[[], Any], tmp_path: Path) -> ReportedBucket:
    return ReportedBucket(s3_bucket(), s3_bucket(), tmp_path / "delivery")


def keys_of(source: SourceSettings) -> list[str]:
    return [key for batch in make_lister(source).list_objects() for key in batch.column("key").to_pylist()]


def test_the_inventory_command_takes_a_report_and_says_so(reported: ReportedBucket, tmp_path: Path) -> None:
    reported.deliver(entries("raw/b +.jpg", "raw/é.jpg", modified=QUIET), entries("raw/a.jpg", "else"), form="CSV")
    config = tmp_path / "registration.yaml"
    config.write_text(yaml.safe_dump({"state": "./state", "sources": {"fleet": reported.settings()}}))

    result = CliRunner().invoke(app, ["inventory", "fleet", "--config", str(config)])

    assert result.exit_code == 0, result.output
    store = LocalStateStore(tmp_path / "state")
    inventory = latest_inventory(store, "fleet")
    assert inventory is not None
    assert inventory.objects == 3
    found = [key for batch in read_inventory(store, inventory) for key in batch["key"].to_pylist()]
    assert found == ["raw/a.jpg", "raw/b +.jpg", "raw/é.jpg"]
    assert inventory.listing.startswith(f"Amazon S3 Inventory (csv) of {YESTERDAY:%Y-%m-%d %H:%M} UTC: s3://")
    told = " ".join(result.stderr.split())
    assert "24 hours old: what changed since is not in it" in told
    assert "s3:GetInventoryConfiguration" in told


def test_check_looks_at_the_report_and_not_at_every_row(reported: ReportedBucket, tmp_path: Path) -> None:
    reported.deliver(entries("raw/a.jpg"))
    config = tmp_path / "registration.yaml"
    config.write_text(yaml.safe_dump({"state": "./state", "sources": {"fleet": reported.settings()}}))

    result = CliRunner().invoke(app, ["check", "fleet", "--json", "--config", str(config)])

    assert "1 files, 24 hours old" in result.stdout


def test_a_configuration_that_s3_says_is_too_narrow_is_passed_over(reported: ReportedBucket) -> None:
    reported.deliver(entries("raw/camera-1/a.jpg"), configuration="narrow")
    reported.configure("raw/camera-1/", "narrow")

    with pytest.raises(NotFoundError, match="configuration narrow reports only keys that start with 'raw/camera-1/'"):
        keys_of(reported.source())
    reported.deliver(entries("raw/a.jpg"), configuration="wide")
    reported.configure("", "wide")
    assert keys_of(reported.source()) == ["raw/a.jpg"]


def test_topping_up_lists_what_may_have_changed_since(reported: ReportedBucket) -> None:
    known = ["raw/old/1.jpg", "raw/old/2.jpg", "raw/busy/1.jpg", "raw/busy/2.jpg", "raw/readme +"]
    for key in (*known[:3], known[4], "raw/busy/3 é.jpg", "raw/new/1.jpg", "raw/new/deep/2.jpg", "raw/top.jpg"):
        reported.bucket.put(key)
    reported.deliver(
        [Entry(key=key, modified=YESTERDAY if "busy" in key else QUIET) for key in known],
        entries("raw/old/vanished unseen.jpg", modified=QUIET),
    )

    lister = make_lister(reported.source(top_up=True))
    found = [key for batch in lister.list_objects() for key in batch.column("key").to_pylist()]

    quiet = ["raw/old/1.jpg", "raw/old/2.jpg", "raw/old/vanished unseen.jpg"]
    live = ["raw/busy/1.jpg", "raw/busy/3 é.jpg", "raw/new/1.jpg", "raw/new/deep/2.jpg", "raw/readme +", "raw/top.jpg"]
    assert found == sorted(quiet + live)
    assert lister.description.endswith(", and 2 live folders and 1 new ones listed since")


def test_a_report_bucket_that_does_not_exist_names_its_own_setting(reported: ReportedBucket) -> None:
    with pytest.raises(NotFoundError, match=r"no-such-bucket.*sources\.fleet\.storage\.inventory_report"):
        keys_of(reported.source(inventory_report="s3://no-such-bucket/dest/"))


@pytest.mark.parametrize("pays", [True, False])
def test_every_request_around_a_report_says_who_pays(reported: ReportedBucket, pays: bool) -> None:  # noqa: FBT001
    reported.deliver(entries("raw/a.jpg", "raw/b/c.jpg"))
    reported.configure("raw/", "narrow")
    asked: dict[str, set[str | None]] = {}

    class Recording(SettingsClients):
        def s3(self, source: SourceSettings) -> Any:
            client = super().s3(source)

            def note(request: Any, event_name: str, **_: object) -> None:
                payer = request.headers.get("x-amz-request-payer")
                name = event_name.rpartition(".")[2]
                asked.setdefault(name, set()).add(payer.decode() if isinstance(payer, bytes) else payer)

            client.meta.events.register("before-send.s3", note)
            return client

    source = reported.source(requester_pays=pays, top_up=True)
    keys = [key for batch in make_lister(source, Recording({})).list_objects() for key in batch["key"].to_pylist()]

    assert keys == sorted(keys)
    assert asked.keys() >= {"ListObjectsV2", "HeadObject", "GetObject", "GetBucketInventoryConfiguration"}
    assert set().union(*asked.values()) == ({"requester"} if pays else {None})
