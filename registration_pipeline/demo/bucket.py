"""A local S3 server that holds the demo's bucket, and how files get into it.

What does not belong here: which files there are (``layout``). The server keeps everything in memory: the folder is what
lasts, and a restart uploads it again. So modification times in the bucket are those of the last start, while ETags stay
the same.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from registration_pipeline.demo.extra import MOTO, require_demo_extra
from registration_pipeline.demo.key_map import MappedKey, read_key_map
from registration_pipeline.demo.media.media import content_type
from registration_pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

HOST = "127.0.0.1"
REGION: Final = "eu-west-2"
_CREDENTIAL = "demo"
"""The local server accepts any; clients insist on having some."""
_POLL_SECONDS = 0.05
"""How long the end of the block may wait for the server to notice it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketServer:
    """A running server.

    Args:
        bucket: name of the bucket that was filled.
        port: on the loopback interface.
        objects: how many were uploaded at the start.
    """

    bucket: str
    port: int
    objects: int

    @property
    def endpoint_url(self) -> str:
        """What goes into ``storage.endpoint_url`` of a source."""
        return _endpoint_url(self.port)

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables with which any AWS client can use the server."""
        return {
            "AWS_ACCESS_KEY_ID": _CREDENTIAL,
            "AWS_SECRET_ACCESS_KEY": _CREDENTIAL,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self) -> S3Client:
        """Return a new client of this server; close it after use."""
        return _client(self.port)

    def upload(self, folder: Path, paths: Iterable[Path]) -> int:
        """Upload these files of the folder, new or changed, and return how many objects were written."""
        with closing(self.client()) as client:
            return upload_folder(client, self.bucket, folder, paths=paths)


@contextmanager
def serve_bucket(folder: Path, bucket: str, port: int = 0, *, public: bool = False) -> Iterator[BucketServer]:
    """Run a local S3 server that holds exactly the files of ``folder`` (and its key map) until the block ends.

    Servers in one process share their buckets, as the server's memory belongs to the process.

    Args:
        folder: what ``upload_folder`` uploads before the block starts.
        bucket: emptied first if it exists.
        port: 0 picks a free one.
        public: whether the objects can be read without signing requests.

    Raises:
        UsageError: moto is not installed, the folder does not exist or the port is in use.
    """
    require_demo_extra(MOTO)
    if not folder.is_dir():
        raise UsageError(f"The demo's bucket folder {folder} does not exist. Run `registration-pipeline demo` first.")
    with _running_server(port) as bound_port, ExitStack() as stack:
        client = _client(bound_port)
        stack.callback(client.close)
        _create_empty_bucket(client, bucket)
        objects = upload_folder(client, bucket, folder, public=public)
        yield BucketServer(bucket=bucket, port=bound_port, objects=objects)


def upload_folder(
    client: S3Client,
    bucket: str,
    folder: Path,
    *,
    paths: Iterable[Path] | None = None,
    extra: Sequence[MappedKey] | None = None,
    public: bool = False,
) -> int:
    """Upload files under their paths below ``folder``, or under the keys that the key map gives them.

    Args:
        client: of any S3.
        bucket: must exist.
        folder: its tree gives the keys.
        paths: only these files; default: all, and the mapped keys that have no file.
        extra: the key map; default: the one beside the folder.
        public: whether the objects can be read without signing requests.

    Returns:
        How many objects were written.
    """
    key_map = read_key_map(folder) if extra is None else tuple(extra)
    wanted = {path.relative_to(folder).as_posix() for path in (_files(folder) if paths is None else paths)}
    mapped = [entry for entry in key_map if entry.file in wanted or (entry.file is None and paths is None)]
    plain = [MappedKey(key=name, file=name) for name in wanted - {entry.file for entry in mapped}]
    options: dict[str, Any] = {"ACL": "public-read"} if public else {}
    for entry in sorted((*plain, *mapped), key=lambda entry: entry.key):
        body = b"" if entry.file is None else (folder / entry.file).read_bytes()
        storage: dict[str, Any] = {"StorageClass": entry.storage_class} if entry.storage_class else {}
        mime = content_type(entry.file or "")
        client.put_object(Bucket=bucket, Key=entry.key, Body=body, ContentType=mime, **storage, **options)
    return len(plain) + len(mapped)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _endpoint_url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _client(port: int) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=_endpoint_url(port),
        region_name=REGION,
        aws_access_key_id=_CREDENTIAL,
        aws_secret_access_key=_CREDENTIAL,
        # An empty proxy table, because a proxy of the environment must not be asked for the loopback interface.
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )


@contextmanager
def _running_server(port: int) -> Iterator[int]:
    """Serve from a thread until the block ends.

    moto's own ``ThreadedMotoServer`` waits for ever when the port is in use, logs every request and never closes its
    socket.
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class QuietRequestHandler(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing: the demo's output is its report."""

    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        message = (
            f"The local S3 server can't listen on {HOST}:{port} ({error.strerror}). "
            "Stop the program that uses the port, or choose another one."
        )
        raise UsageError(message) from error
    with listener:
        bound_port: int = listener.getsockname()[1]
        app = DomainDispatcherApplication(create_backend_app)
        server = make_server(
            HOST, bound_port, app, threaded=True, request_handler=QuietRequestHandler, fd=listener.fileno()
        )
    thread = Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="demo-bucket", daemon=True)
    thread.start()
    try:
        yield bound_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _create_empty_bucket(client: S3Client, bucket: str) -> None:
    try:
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    except client.exceptions.BucketAlreadyOwnedByYou:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", ()):
                client.delete_object(Bucket=bucket, Key=found["Key"])
