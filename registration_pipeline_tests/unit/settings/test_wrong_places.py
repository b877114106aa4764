"""Wrong places of objects, inventory reports and the state: each is refused with line, key, remedy, and no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.unit.settings.wrong_configurations import (
    GOOD,
    SECRET,
    Wrong,
    assert_refused,
    with_storage,
    with_top,
    with_uri,
)

if TYPE_CHECKING:
    from pathlib import Path

WRONG = {
    "report nowhere": with_storage("inventory_report: reports/", key="storage.inventory_report", says="must be s3://"),
    "report with an account on S3": with_storage(
        "inventory_report: s3://a@b/x", key="storage.inventory_report", says="must be s3://"
    ),
    "report of a directory": with_storage(
        "inventory_report: /reports", key="storage.inventory_report", says="no inventory reports", uri="file:///data/"
    ),
    "top-up without a report": with_storage(
        "{region: eu-west-2, top_up: true}", key="storage.top_up", says="add storage.inventory_report"
    ),
    "versions beside a report": with_storage(
        "{region: eu-west-2, versions: true, inventory_report: s3://reports/}",
        key="storage.versions",
        says="has no effect on inventory reports",
    ),
    "top-up that is no switch": with_storage("top_up: maybe", key="storage.top_up", says="must be true or false"),
    "reports may be 0 days old": with_storage(
        "report_max_age_days: 0", key="storage.report_max_age_days", says="must be 1 or more"
    ),
    "interpolated state that is none": with_top(
        "state: ftp://${STATE}", key="state", says="must be a path", environ={"STATE": SECRET}
    ),
    "upper case in a bucket of Google's": with_uri("gs://Bucket/raw/", "not a bucket name"),
    "underscore in a bucket of OBS": with_uri("obs://my_bucket/raw/", "not a bucket name"),
    "container without account": with_uri("az://box/raw/", "write az://container@account/prefix/"),
    "account without container": with_uri("az://@account/raw/", "write az://container@account/prefix/"),
    "container with two hyphens in a row": with_uri("az://a--box@account/", "not a container name"),
    "account that is a host": with_uri("az://box@account.blob.core.windows.net/", "not a storage account"),
    "scheme in upper case": with_uri("GS://bucket/raw/", "must be s3://bucket/prefix/"),
    "unknown scheme": with_uri("http://bucket/raw/", "must be s3://bucket/prefix/"),
    "no scheme": with_uri("fleet-bucket/raw", "must be s3://bucket/prefix/"),
    "no bucket": with_uri("s3:///raw/", "the bucket is missing"),
    "bad bucket": with_uri("s3://fleet bucket/raw/", "not a bucket name"),
    "relative directory": with_uri("file://data/media", "three slashes"),
    "directory that is not UTF-8": with_uri("file:///data/%FF", "percent-escapes are not UTF-8"),
    "directory with a zero byte": with_uri("file:///data/%00", "zero byte"),
    "presigned source": with_uri(
        f"s3://fleet-bucket/raw?X-Amz-Credential=me&X-Amz-Signature={SECRET}", "a query (what follows a ?)"
    ),
    "signed folder of a source": with_uri(f"gs://bucket/raw/?X-Goog-Signature={SECRET}", "a query"),
    "SAS of a container": with_uri(f"az://box@account/raw?sv=2024-01-01&sig={SECRET}/x", "a query"),
    "query without a prefix": with_uri(f"s3://fleet-bucket?X-Amz-Signature={SECRET}", "not a bucket name"),
    "version in a source": with_uri(f"obs://bucket/raw?versionId={SECRET}", "a query"),
    "fragment of a source": with_uri(f"s3://fleet-bucket/raw#{SECRET}", "a fragment (what follows a #)"),
    "token in a fragment": with_uri(f"s3://fleet-bucket/raw#access_token={SECRET}/", "a fragment"),
    "password in a source": with_uri(f"s3://me:{SECRET}@fleet-bucket/raw/", "not a bucket name"),
    "user of a source": with_uri(f"gs://{SECRET}@bucket/raw/", "not a bucket name"),
    "password of a container": with_uri(f"az://box:{SECRET}@account/raw/", "not a container name"),
    "query of a directory": with_uri(f"file:///data/raw?sig={SECRET}", "%3F"),
    "fragment of a directory": with_uri(f"file:///data/raw#{SECRET}", "%23"),
    "presigned report": with_storage(
        f"inventory_report: 's3://reports/x?X-Amz-Signature={SECRET}'", key="storage.inventory_report", says="a query"
    ),
    "report with a fragment": with_storage(
        f"inventory_report: 'gs://reports/x#{SECRET}'",
        key="storage.inventory_report",
        says="a fragment",
        uri="gs://bucket/",
    ),
    "report in a signed directory": with_storage(
        f"inventory_report: 'file:///reports?sig={SECRET}'", key="storage.inventory_report", says="%3F"
    ),
    "virtual-hosted without region": with_storage(
        "profile: prod", line=4, key="storage.region", says="add storage.region: the bucket's region"
    ),
    "path without region": with_storage(
        "profile: prod", line=4, key="storage.region", says="add storage.region", style="path"
    ),
    "mrap without access point": with_storage(
        "region: eu-west-2", line=4, key="storage.access_point_arn", says="add its ARN", style="mrap"
    ),
    "access point that is none": with_storage(
        "access_point_arn: arn:aws:s3:eu-west-2:123:accesspoint/x", key="storage.access_point_arn", says="multi-region"
    ),
    "endpoint with a password": with_storage(
        f"endpoint_url: https://me:{SECRET}@host", key="storage.endpoint_url", says="without user name"
    ),
    "endpoint without scheme": with_storage(
        "endpoint_url: 127.0.0.1:9000", key="storage.endpoint_url", says="http://host:port"
    ),
    "endpoint with a port that is none": with_storage(
        "endpoint_url: http://host:99999", key="storage.endpoint_url", says="http://host:port"
    ),
    "file style for a bucket": with_storage(
        "region: eu-west-2", line=7, key="url_style", says="file is not for s3:// sources", style="file"
    ),
    "bucket style for a directory": with_storage(
        "region: eu-west-2", line=7, key="url_style", says="leave the key out", style="path", uri="file:///data/"
    ),
    "S3's style for Google's": with_storage(
        "endpoint_url: http://host",
        line=7,
        key="url_style",
        says="use https, gs or path",
        style="s3",
        uri="gs://bucket/",
    ),
    "path in Azure without endpoint": with_storage(
        "region: a",
        line=4,
        key="storage.endpoint_url",
        says="leave url_style out",
        style="path",
        uri="az://box@account/",
    ),
    "OBS without region": with_storage(
        "profile: prod", line=4, key="storage.region", says="add storage.region, e.g. eu-de", uri="obs://bucket/"
    ),
    "obs style with an endpoint and no region": with_storage(
        "endpoint_url: http://host",
        line=4,
        key="storage.region",
        says="url_style obs needs it",
        style="obs",
        uri="obs://bucket/",
    ),
    "obs style with another cloud's endpoint": with_storage(
        "{region: eu-de, endpoint_url: https://obs.ap-southeast-1.myhuaweicloud.com}",
        line=7,
        key="url_style",
        says="storage.endpoint_url lists another one; use path",
        style="obs",
        uri="obs://bucket/",
    ),
    "s3 style with another store's endpoint": with_storage(
        "endpoint_url: https://store.example", line=7, key="url_style", says="storage.endpoint_url", style="s3"
    ),
    "access point with another store's endpoint": with_storage(
        "{endpoint_url: https://store.example, access_point_arn: 'arn:aws:s3::1:accesspoint/a.mrap'}",
        line=7,
        key="url_style",
        says="storage.endpoint_url",
        style="mrap",
    ),
    "azure style in another of Azure's clouds": with_storage(
        "endpoint_url: https://account.blob.core.chinacloudapi.cn",
        line=7,
        key="url_style",
        says="storage.endpoint_url",
        style="azure",
        uri="az://box@account/",
    ),
    "gs style with an emulator": with_storage(
        "endpoint_url: http://127.0.0.1:9000",
        line=7,
        key="url_style",
        says="storage.endpoint_url",
        style="gs",
        uri="gs://bucket/",
    ),
    "no counts in Google's": with_storage(
        "key_count: false", key="storage.key_count", says="s3:// and obs://", uri="gs://bucket/"
    ),
    "requester pays in Azure": with_storage(
        "requester_pays: true", key="storage.requester_pays", says="s3:// and gs://", uri="az://box@account/"
    ),
    "scheme that is not known": with_uri("ftp://bucket/raw/", "ftp:// is none of these"),
    "scheme that is not known, of the state": with_top("state: hdfs://host/x", key="state", says="hdfs:// is none"),
    "AWS profile for Google's": with_storage(
        "profile: prod",
        key="storage.profile",
        says="credentials of gs:// come from the environment",
        uri="gs://bucket/",
    ),
    "virtual-hosted with an old bucket name": with_storage(
        "region: eu-west-2\n    url_style: virtual-hosted",
        line=6,
        key="url_style",
        says="use path",
        uri="s3://Fleet_Bucket/",
    ),
    "state of an unknown kind": with_top("state: obs://bucket/x", key="state", says="must be a path"),
    "state without bucket": with_top("state: s3://", key="state", says="bucket"),
    "presigned state": with_top(
        f"state: s3://bucket/state?X-Amz-Signature={SECRET}", key="state", says="a query (what follows a ?)"
    ),
    "state with a SAS": with_top(f"state: az://box@account/state?sig={SECRET}", key="state", says="a query"),
    "state with a query and no prefix": with_top(f"state: gs://bucket?sig={SECRET}", key="state", says="a query"),
    "state with a fragment": with_top(f"state: s3://bucket/state#{SECRET}/x", key="state", says="a fragment"),
    "state of a signed file": with_top(f"state: file:///data/x?sig={SECRET}", key="state", says="%3F"),
    "state with a password": with_top(f"state: gs://me:{SECRET}@bucket/x", key="state", says="not a bucket name"),
    "state with a user": with_top(f"state: s3://{SECRET}@bucket/x", key="state", says="not a bucket name"),
    "state in a container with a password": with_top(
        f"state: az://box:{SECRET}@account/x", key="state", says="not a container name"
    ),
    "signed state without a scheme": with_top(
        f"state: bucket/state?X-Amz-Signature={SECRET}", key="state", says="holds a signature"
    ),
    "connection string as the state": with_top(
        f"state: AccountName=account;AccountKey={SECRET}", key="state", says="holds a signature"
    ),
    "state behind a web address": with_top(
        f"state: https://me:{SECRET}@host/x?sig={SECRET}", key="state", says="must be a path"
    ),
    "state is a number": with_top("state: 5", key="state", says="must be text"),
    "state inside the source": Wrong(
        text=f"state: s3://fleet-bucket/raw/state\n{GOOD}",
        places=((4, "sources.fleet.uri"),),
        says=("the state lies inside this source",),
    ),
    "state inside the container": Wrong(
        text=f"state: az://box@account/raw/state\n{GOOD}".replace("s3://fleet-bucket/", "az://box@account/"),
        places=((4, "sources.fleet.uri"),),
        says=("the state lies inside this source",),
    ),
    "state inside the directory": Wrong(
        text="state: ./bucket/x/../state\nsources: {local: {uri: 'file://${FOLDER}/bucket/'}}\n",
        places=((2, "sources.local.uri"),),
        says=("the state lies inside this source",),
        environ={"FOLDER": "{folder}"},
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_place_is_named_with_file_line_and_key(wrong: Wrong, tmp_path: Path) -> None:
    assert_refused(wrong, tmp_path)
