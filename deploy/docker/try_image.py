"""Runs an unpacked image as a pod would, by hand: `try_image.py ROOTFS` (as root, with crun). Not part of the tests.

A container with the CronJob's security context (user 10001, read-only root, no capabilities, no new privileges, seccomp, a
limit of memory) runs `check`, two syncs that SIGTERM ends in the middle, then syncs until all is registered, against a sandbox
of Encord and a local S3 server that holds the bucket and the state. Prints what each ended with, and the peak of its memory.
`buildah mount` unpacks an image. The network is that of the machine, so that the two servers on 127.0.0.1 are reached.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import yaml
from moto.server import ThreadedMotoServer

from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECTS = int(os.environ.get("OBJECTS", "2000"))
MEMORY = int(os.environ.get("MEMORY", str(1536 << 20)))
"""Bytes; by default the limit of the manifests."""
CGROUPS = Path("/sys/fs/cgroup/memory")
SECCOMP = Path("/usr/share/containers/seccomp.json")
USER = 10001
MOUNTS = (
    ("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/tmp", "tmpfs", "tmpfs", ["nosuid", "nodev", "mode=1777"]),
    ("/var/lib/registration", "tmpfs", "tmpfs", ["nosuid", "nodev", f"uid={USER}", f"gid={USER}", "mode=0700"]),
)
IMAGE_ENVIRONMENT = {
    "PATH": "/opt/registration/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": "/var/lib/registration",
    "DAGSTER_HOME": "/var/lib/registration",
    "REGISTRATION_CONFIG": "/etc/registration/registration.yaml",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Node:
    """What the containers have in common: the image, the configuration, and the sandbox behind them."""

    folder: Path
    rootfs: Path
    sandbox: Sandbox
    environ: dict[str, str]

    def run(self, name: str, arguments: list[str], *, until: float | None = None) -> None:
        """Run one container; end it by SIGTERM once a share of the objects is registered."""
        bundle, cgroup = self.folder / name, CGROUPS / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self._spec(name, arguments)))
        cgroup.mkdir()
        (cgroup / "memory.limit_in_bytes").write_text(str(MEMORY))
        # The limit is set here, and crun refuses machines that have both versions of cgroups: it gets to see one.
        alone = f'echo $$ >{cgroup}/cgroup.procs; umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", alone, "sh"]
        command += ["crun", "--cgroup-manager=disabled", "run", "--bundle", str(bundle), name]
        begun, asked = time.monotonic(), None
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while until is not None and process.poll() is None:
            if sum(self.registered().values()) >= until * OBJECTS:
                asked = time.monotonic()
                subprocess.run(["crun", "kill", name, str(int(signal.SIGTERM))], check=False)
                break
            time.sleep(0.1)
        out = process.communicate()[0]
        took = time.monotonic() - (asked or begun)
        peak = int((cgroup / "memory.max_usage_in_bytes").read_text()) / 1e6
        cgroup.rmdir()
        print(f"$ {' '.join(arguments)}\n{out.strip()[-1500:]}")
        after = " after SIGTERM" if asked else ""
        print(
            f"  exit status {process.returncode}, {took:.1f} s{after}, {peak:.0f} MB with the cache of files",
            flush=True,
        )

    def registered(self) -> Counter[str]:
        """Return every URL in Encord's folder."""
        folders = {job.folder_uuid for job in self.sandbox.jobs()}
        return Counter(url for folder in folders for item in self.sandbox.folder_items(folder) for url in item.urls)

    def _spec(self, name: str, arguments: list[str]) -> dict[str, Any]:
        mounts: list[dict[str, Any]] = [
            {"destination": to, "type": kind, "source": source, "options": options}
            for to, kind, source, options in MOUNTS
        ]
        config = {"destination": "/etc/registration", "type": "bind", "source": str(self.folder / "config")}
        return {
            "ociVersion": "1.0.0",
            "process": {
                "terminal": False,
                "user": {"uid": USER, "gid": USER},
                "args": ["/usr/bin/tini", "--", *arguments],
                "env": [f"{key}={value}" for key, value in (IMAGE_ENVIRONMENT | self.environ).items()],
                "cwd": "/etc/registration",
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.rootfs), "readonly": True},
            "hostname": name,
            "mounts": [*mounts, config | {"options": ["bind", "ro", "nosuid", "nodev"]}],
            "linux": {
                "namespaces": [{"type": one} for one in ("pid", "ipc", "uts", "mount")],
                "seccomp": _seccomp(),
            },
        }


def _seccomp() -> dict[str, Any]:
    """Return the default profile of container engines, without its exceptions for capabilities: there are none."""
    profile = json.loads(SECCOMP.read_text())
    rules = [rule for rule in profile["syscalls"] if not rule.get("includes", {}).get("caps")]
    kept = ("names", "action", "args", "errnoRet")
    return {
        "defaultAction": profile["defaultAction"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{key: rule[key] for key in kept if rule.get(key) is not None} for rule in rules],
    }


@contextmanager
def node(folder: Path, rootfs: Path) -> Iterator[Node]:
    """Start the servers, fill the bucket and write the configuration."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint, region = f"http://{host}:{port}", "eu-west-2"
    s3 = boto3.client("s3", endpoint_url=endpoint, region_name=region, aws_access_key_id="x", aws_secret_access_key="x")
    for bucket in ("fleet", "state"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    for number in range(OBJECTS):
        s3.put_object(Bucket="fleet", Key=f"raw/{number:06d}.jpg", Body=b"\xff")
    source = {
        "uri": "s3://fleet/raw/",
        "storage": {"endpoint_url": endpoint, "region": region},
        "encord": {"integration": "sandbox"},
        "chunk_size": {"images": 50},
        "settle_seconds": 2,
        "schedule": None,
    }
    (folder / "config").mkdir()
    document = {"state": "s3://state/registration", "sources": {"fleet": source}}
    (folder / "config" / "registration.yaml").write_text(yaml.safe_dump(document))
    with Sandbox(SandboxConfig(data=folder / "encord", job_seconds=0.3)) as sandbox:
        environ = {
            "ENCORD_DOMAIN": sandbox.url,
            "ENCORD_SSH_KEY": sandbox.private_key_path.read_text(),
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": region,
            "AWS_ALLOW_HTTP": "true",
            "NO_PROXY": "127.0.0.1",
        }
        yield Node(folder, rootfs, sandbox, environ)
    server.stop()


def main(rootfs: Path) -> None:
    """Run the story and print it."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        with node(folder, rootfs) as on:
            on.run("pod-1", ["id"])
            on.run("pod-2", ["touch", "/opt/registration/x"])
            on.run("pod-3", ["registration-pipeline", "check"])
            on.run("pod-4", ["registration-pipeline", "sync"], until=0.2)
            on.run("pod-5", ["registration-pipeline", "sync"], until=0.6)
            on.run("pod-6", ["registration-pipeline", "sync"])
            on.run("pod-7", ["registration-pipeline", "sync"])
            on.run("pod-8", ["registration-pipeline", "status"])
            found = on.registered()
        print(f"{len(found)} of {OBJECTS} objects are in Encord, {sum(found.values()) - len(found)} twice")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
