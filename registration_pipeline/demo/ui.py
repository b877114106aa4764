"""The Dagster UI on a demo: ``dagster dev`` as a child process, until Ctrl-C.

What does not belong here: the servers that runs started in the UI talk to (``servers``).
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from registration_pipeline.cli.interrupt import at_forced_end
from registration_pipeline.demo.bucket import HOST
from registration_pipeline.demo.processes import end_group, kill_group
from registration_pipeline.errors import RegistrationPipelineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.demo.home import DemoHome

_START_SECONDS = 600.0
"""A machine with much other work needs minutes; a UI that has ended is noticed at once."""
_POLL_SECONDS = 0.5
_LAST_LINES = 20


class DagsterUi:
    """A running ``dagster dev``.

    Args:
        home: of the demo.
        port: that the web server listens on.
    """

    def __init__(self, home: DemoHome, port: int, process: subprocess.Popen[bytes]) -> None:
        self._home = home
        self._process = process
        self.url = f"http://{HOST}:{port}"

    def wait_until_it_answers(self) -> None:
        """Wait for the web server.

        Raises:
            RegistrationPipelineError: it ended, or did not answer in ten minutes.
        """
        deadline = time.monotonic() + _START_SECONDS
        opener = build_opener(ProxyHandler({}))
        while time.monotonic() < deadline:
            self._require_running()
            try:
                with opener.open(f"{self.url}/server_info", timeout=5):
                    return
            except (URLError, OSError):
                time.sleep(_POLL_SECONDS)
        raise self._error(f"did not answer at {self.url} within {_START_SECONDS:.0f} seconds")

    def watch(self) -> None:
        """Wait until it ends, which it only does by itself when something is wrong.

        Raises:
            RegistrationPipelineError: it ended.
        """
        while True:
            self._require_running()
            time.sleep(_POLL_SECONDS)

    def _require_running(self) -> None:
        status = self._process.poll()
        if status is not None:
            raise self._error(f"ended with exit status {status}")

    def _error(self, what: str) -> RegistrationPipelineError:
        lines = self._home.ui_log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        text = "\n".join(lines)
        return RegistrationPipelineError(f"The Dagster UI {what}. The last lines of {self._home.ui_log}:\n{text}")


@contextmanager
def dagster_ui(home: DemoHome, port: int) -> Iterator[DagsterUi]:
    """Run ``dagster dev`` on the demo until the block ends; its log goes to a file, the terminal belongs to the guide."""
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(home.workspace), "-h", HOST, "-p", str(port)]
    with home.ui_log.open("wb") as log:
        # A session of its own: Ctrl-C reaches this process alone, which then ends the whole group in order.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and fixed arguments
            command,
            cwd=home.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with at_forced_end(lambda: kill_group(process)):
        try:
            yield DagsterUi(home, port, process)
        finally:
            end_group(process)
