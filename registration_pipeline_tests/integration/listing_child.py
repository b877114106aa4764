"""Lists a bucket with other processes that fetch its pages, and says their ids; a test kills this one. Not a test.

Arguments: URL of the store. Prints a line with the ids once they have started, then lists until its end.
"""

from __future__ import annotations

import sys

from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.inventory.s3.processes.pool import WhenToStart
from registration_pipeline.project.clients.s3 import open_s3

if __name__ == "__main__":
    client = open_s3(endpoint_url=sys.argv[1], region_name="eu-west-2")
    when = WhenToStart(2, after_pages=1, busy=0, is_awaited=True)
    lister = S3Lister(client, "bucket", page_size=50, concurrency=4, fan_out_after=200, when=when)
    are_known = False
    for _ in lister.list_objects():
        ids = lister._requests.plain.process_ids
        if ids and not are_known:
            are_known = True
            print(*ids, flush=True)
