"""A process that answers Google's and Azure's listings: ``python -m benchmarks.listing_clouds_server …``.

It keeps no object: pages are cut from rendered blocks (see ``listing_server.py``), so that a benchmark of a client measures
the client. What does not belong here: signatures and odd keys, for which the tests have emulators and imitations.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.listing_server import BUCKET, Answer, Bucket, Range, serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_GOOGLE_PAGE, _AZURE_PAGE = 1_000, 5_000

# The fields that an inventory asks for. Google's own client gets no more here, though it asks for all: in its favour.
_GOOGLE = (
    ',{{"name":"{key}","size":"{size}","updated":"2026-03-{day:02d}T09:26:53.123Z","md5Hash":"{md5}","crc32c":"AAAAAA==",'
    '"etag":"CJ/8","contentType":"image/jpeg","storageClass":"STANDARD","generation":"1700000000000001"}}'
)
_AZURE = (
    "<Blob><Name>{key}</Name><Properties><Creation-Time>Fri, 13 Mar 2026 09:26:53 GMT</Creation-Time><Last-Modified>"
    "Sat, 14 Mar 2026 09:26:{day:02d} GMT</Last-Modified><Etag>0x8DE{size:012d}</Etag><Content-Length>{size}</Content-Length>"
    "<Content-Type>image/jpeg</Content-Type><Content-Encoding /><Content-Language /><Content-CRC64 /><Content-MD5>{md5}"
    "</Content-MD5><Cache-Control /><Content-Disposition /><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
    "<AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
    "<ServerEncrypted>true</ServerEncrypted>{kind}</Properties><Metadata /><OrMetadata /></Blob>"
)
_DIRECTORY = (
    "<Blob><Name>raw</Name><Properties><Last-Modified>Sat, 14 Mar 2026 09:26:53 GMT</Last-Modified><Content-Length>0"
    "</Content-Length><BlobType>BlockBlob</BlobType><ResourceType>directory</ResourceType></Properties><Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>"
    "</Blob>"
)
_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/" ContainerName="{bucket}">'
    "<Prefix>{prefix}</Prefix><MaxResults>{most}</MaxResults><Blobs>"
)


def google_page(bucket: Bucket, asked: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """Yield the parts of the answer to one ``Objects: list`` request."""
    prefix, most = asked.get("prefix", ""), min(int(asked.get("maxResults", _GOOGLE_PAGE)), _GOOGLE_PAGE)
    found = bucket.below(prefix)
    start = max(found.start, bucket.starting_at(asked.get("startOffset", "")), int(asked.get("pageToken", "0")))
    if asked.get("delimiter"):
        folders = ",".join(f'"{folder}"' for folder in bucket.folders(Range(start, found.end), prefix, most))
        yield f'{{"kind":"storage#objects","prefixes":[{folders}]}}'.encode()
        return
    end = min(start + most, found.end)
    more = f'"nextPageToken":"{end}",' if end < found.end else ""
    yield f'{{"kind":"storage#objects",{more}"items":['.encode()
    for number, part in enumerate(bucket.entries(start, end)):
        yield part if number else part[1:]  # entries begin with a comma
    yield b"]}"


def azure_page(bucket: Bucket, asked: Mapping[str, str], *, is_hierarchical: bool) -> Iterator[bytes | memoryview]:
    """Yield the parts of the answer to one List Blobs request."""
    prefix, most = asked.get("prefix", ""), min(int(asked.get("maxresults", _AZURE_PAGE)), _AZURE_PAGE)
    found = bucket.below(prefix)
    start = max(found.start, bucket.starting_at(asked.get("startFrom", "")), int(asked.get("marker") or "0"))
    yield _HEAD.format(bucket=BUCKET, prefix=prefix, most=most).encode()
    # A level of these layouts has folders or objects, never both.
    has_folders = found.start < found.end and "/" in bucket.key_of(found.start)[len(prefix) :]
    if asked.get("delimiter") and has_folders:
        for folder in bucket.folders(Range(start, found.end), prefix, most):
            yield f"<BlobPrefix><Name>{folder}</Name></BlobPrefix>".encode()
        yield b"</Blobs><NextMarker /></EnumerationResults>"
        return
    if is_hierarchical and not asked.get("delimiter") and start == 0:
        yield _DIRECTORY.encode()
    end = min(start + most, found.end)
    yield from bucket.entries(start, end)
    marker = f"<NextMarker>{end}</NextMarker>" if end < found.end else "<NextMarker />"
    yield f"</Blobs>{marker}</EnumerationResults>".encode()


def google_answer(bucket: Bucket, path: str, asked: Mapping[str, str]) -> Answer:
    """Return the answer to a request of Google's client, which also asks for the bucket itself."""
    about_bucket = [b'{"kind":"storage#bucket","name":"benchmark"}']
    return Answer("application/json", google_page(bucket, asked) if path.endswith("/o") else about_bucket)


def main(cloud: str, layout: str, objects: str, latency: str) -> None:
    """Serve a bucket of ``google``, ``azure`` or ``azure folders``; the latency is in seconds."""
    if cloud == "google":
        serve(partial(google_answer, Bucket(layout, int(objects), _GOOGLE)), float(latency))
    is_hierarchical = cloud == "azure folders"
    kind = "<ResourceType>file</ResourceType>" if is_hierarchical else ""
    bucket = Bucket(layout, int(objects), _AZURE.replace("{kind}", kind))
    serve(
        lambda _, asked: Answer("application/xml", azure_page(bucket, asked, is_hierarchical=is_hierarchical)),
        float(latency),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
