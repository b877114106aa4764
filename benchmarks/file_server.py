"""A process that is an S3 bucket of the files in a folder: ``python -m benchmarks.file_server FOLDER LATENCY``.

It answers GetObject with ranges and nothing else, so that a benchmark measures who reads. What it sent is said at the end.
"""

from __future__ import annotations

import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import unquote

from benchmarks.servers import announce, farewell

BUCKET = "media"
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class Requests(BaseHTTPRequestHandler):
    """Answers from the folder."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder = Path()
    latency = 0.0
    lock = Lock()
    sent = 0

    def do_GET(self) -> None:
        """Send a range of a file, or all of it."""
        time.sleep(self.latency)
        path = self.folder / unquote(self.path.partition("?")[0]).removeprefix(f"/{BUCKET}/")
        size = path.stat().st_size
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        first, last = (int(found[1]), min(int(found[2]), size - 1)) if found else (0, size - 1)
        with path.open("rb") as file:
            file.seek(first)
            content = file.read(last - first + 1)
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"0"')
        if found:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        self.wfile.write(content)
        with self.lock:
            type(self).sent += len(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """With room for as many connections as a benchmark opens at once."""

    request_queue_size = 256
    daemon_threads = True


def main(folder: str, latency: str) -> None:
    """Serve until standard input is closed."""
    Requests.folder, Requests.latency = Path(folder), float(latency)
    server = Server(("127.0.0.1", 0), Requests)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    announce(endpoint_url=f"http://127.0.0.1:{server.server_port}", bucket=BUCKET)
    server.shutdown()
    thread.join()
    farewell(sent=Requests.sent)


if __name__ == "__main__":
    main(*sys.argv[1:])
