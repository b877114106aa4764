"""A stand-in for a Kubernetes cluster: the part of its API that Dagster's run launcher uses, and what a kubelet does.

Jobs are kept as they were posted. ``Cluster.start`` executes the command of a Job's container as a process; when the Job is
deleted, the process gets SIGTERM. What does not belong here: images, volumes and users, which need a container
(deploy/docker/try_image.py).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent


@dataclass
class Cluster:
    """Jobs by name, and the processes of their pods."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def container(self, name: str) -> dict[str, Any]:
        """Return the only container of a Job's pod."""
        (found,) = self.jobs[name]["spec"]["template"]["spec"]["containers"]
        container: dict[str, Any] = found
        return container

    def start(self, name: str, folder: Path) -> subprocess.Popen[str]:
        """Execute the pod of a Job in a folder; the program is that of this environment."""
        program, *arguments = self.container(name)["args"]
        self.pods[name] = subprocess.Popen(
            [str(BIN / program), *arguments],
            cwd=folder,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        return self.pods[name]

    def answer(self, method: str, parts: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a request of the API."""
        match method, parts:
            case "POST", [*_, "jobs"]:
                self.jobs[body["metadata"]["name"]] = body
                return 201, body
            case "GET", [*_, "pods"]:
                return 200, {"kind": "PodList", "apiVersion": "v1", "items": []}
            case "GET", [*_, "jobs", name]:
                return 200, self.jobs[name] | {"status": {"active": 1}}
            case "DELETE", [*_, "jobs", name]:
                self.deleted.append(name)
                if (pod := self.pods.get(name)) is not None and pod.poll() is None:
                    pod.send_signal(signal.SIGTERM)
                return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}

    def end(self) -> None:
        """Kill what a failed test left behind."""
        for pod in self.pods.values():
            if pod.poll() is None:
                pod.kill()
            pod.communicate()


class _Api(BaseHTTPRequestHandler):
    def __init__(self, cluster: Cluster, *arguments: Any) -> None:
        self._cluster = cluster
        super().__init__(*arguments)

    def _reply(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        path = self.path.partition("?")[0].strip("/").split("/")
        status, answer = self._cluster.answer(self.command, path, body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _reply  # noqa: N815 - the names are given

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


def running_cluster(folder: Path) -> Iterator[tuple[Cluster, Path]]:
    """Start a cluster; yield it and a kubeconfig that leads to it."""
    cluster = Cluster()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Api, cluster)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kubeconfig = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "me", "user": {"token": "x"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        }
        kubeconfig.write_text(yaml.safe_dump(config))
        yield cluster, kubeconfig
        server.shutdown()
    cluster.end()
