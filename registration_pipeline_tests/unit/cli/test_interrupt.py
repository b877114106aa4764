"""Ctrl-C ends a process whatever its threads wait for: real processes and real signals, with shorter times."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from typing import Final

import pytest

from registration_pipeline_tests.hostile_http import HostileServer, head, seconds_since

pytestmark = pytest.mark.slow  # it waits for real connections or processes

QUICK: Final = "interrupt.NOTICE_SECONDS, interrupt.ABORT_SECONDS, interrupt.END_SECONDS = 0.1, 0.3, 0.8"
PATIENT: Final = "interrupt.NOTICE_SECONDS, interrupt.ABORT_SECONDS, interrupt.END_SECONDS = 0.1, 60, 60"
SOON: Final = 5  # on a busy machine

HANGS: Final = {
    "in a thread that sleeps": """
        pool = ThreadPoolExecutor()
        pool.submit(time.sleep, 600).result()
    """,
    "though it catches the interrupt": """
        while True:
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                pass
    """,
}


def started(body: str, times: str) -> subprocess.Popen[str]:
    """Start a process that watches, and return once it hangs."""
    lines = textwrap.indent(textwrap.dedent(body), "    ")
    program = (
        "import sys, threading, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from registration_pipeline.bounds.reply import ReplyLimit\n"
        "from registration_pipeline.cli import interrupt\n"
        f"{times}\ninterrupt.watch_interrupts()\nprint('hangs', flush=True)\n"
        f"try:\n{lines}\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n", process.communicate()
    time.sleep(0.1)
    return process


@pytest.mark.parametrize("hang", HANGS)
def test_a_process_that_hangs_is_ended(hang: str) -> None:
    process = started(HANGS[hang], QUICK)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert seconds_since(began) < SOON
    assert "Ctrl-C again ends at once" in err
    assert "Interrupted. Nothing is lost; run again to go on." in err


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    process = started(HANGS["in a thread that sleeps"], PATIENT)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert seconds_since(began) < SOON


def test_a_request_that_drips_is_ended_so_that_the_process_can_end_by_itself() -> None:
    def drip(connection: object, _request: bytes) -> None:
        connection.send(head())  # type: ignore[attr-defined]
        connection.drip_for_ever()  # type: ignore[attr-defined]

    with HostileServer(drip) as server:
        body = f"""
            import requests
            def read():
                with ReplyLimit(600, 1 << 20):
                    requests.get("{server.url}", proxies={{"http": ""}})
            with ThreadPoolExecutor() as pool:
                pool.submit(read).result()
        """
        process = started(body, PATIENT.replace("60, 60", "0.3, 60"))
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=60)

    assert seconds_since(began) < SOON
    assert process.returncode == 130
    assert "Interrupted" not in err  # which is said when it is ended by force


def test_a_signal_to_terminate_ends_it_with_its_own_status() -> None:
    process = started("import signal\nsignal.signal(15, lambda *_: None)\ntime.sleep(600)", QUICK)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_while_the_interpreter_clears_its_modules_does_not_replace_the_status(number: signal.Signals) -> None:
    body = f"""
        import os
        class Last:
            def __del__(self, kill=os.kill, own=os.getpid()):
                kill(own, {number.value})
        sys.kept = Last()
        raise KeyboardInterrupt
    """
    process = started(body, PATIENT)
    process.communicate(timeout=60)

    assert process.returncode == 130
