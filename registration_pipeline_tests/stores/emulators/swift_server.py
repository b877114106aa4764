"""OpenStack Swift with its S3 API in one process on loopback; runs in the emulators' own environment, not in ours.

What does not belong here: anything of the project; only Swift can be imported here.

    python swift_server.py FOLDER

prints the port of the S3 API and serves until its standard input ends. User ``test:tester``, key ``testing``. What the
configuration says is Swift's own "SAIO" guide cut down to one device, one replica and one process.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import eventlet
from eventlet import wsgi
from swift.common.http_protocol import SwiftHttpProtocol
from swift.common.ring import RingBuilder
from swift.common.utils import set_swift_dir
from swift.common.wsgi import loadapp

SERVERS = ("account", "container", "object")
SWIFT = """[swift-hash]
swift_hash_path_prefix = tests
swift_hash_path_suffix = tests
[storage-policy:0]
name = one
default = yes
"""
STORAGE = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
log_level = ERROR
[pipeline:main]
pipeline = {server}-server
[app:{server}-server]
use = egg:swift#{server}
fallocate_reserve = 0
"""
PROXY = """[DEFAULT]
swift_dir = {folder}
log_level = ERROR
[pipeline:main]
pipeline = s3api tempauth proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
"""


def main(folder: Path) -> None:
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(SWIFT)
    set_swift_dir(str(folder))
    sockets = {server: eventlet.listen(("127.0.0.1", 0)) for server in (*SERVERS, "proxy")}
    for server in SERVERS:
        builder = RingBuilder(1, 1, 0)
        port = sockets[server].getsockname()[1]
        builder.add_dev(
            {"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1.0}
        )
        builder.rebalance()
        builder.get_ring().save(str(folder / f"{server}.ring.gz"))
        (folder / f"{server}.conf").write_text(STORAGE.format(folder=folder, server=server))
    (folder / "proxy.conf").write_text(PROXY.format(folder=folder))
    quiet = logging.getLogger("requests")
    quiet.setLevel(logging.CRITICAL)
    for server, socket in sockets.items():
        app = loadapp(str(folder / f"{server}.conf"))
        eventlet.spawn(wsgi.server, socket, app, log=quiet, log_output=False, protocol=SwiftHttpProtocol)
    print(sockets["proxy"].getsockname()[1], flush=True)
    eventlet.tpool.execute(sys.stdin.read)


if __name__ == "__main__":
    eventlet.monkey_patch()
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    os.chdir(place)
    main(place)
