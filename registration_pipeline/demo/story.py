"""The demo's story: each step announced in a line, then done with the commands that a user would type.

What does not belong here: how a server or a command is run (``servers``, ``processes``) and what must come out of it
(``claims``).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape

from registration_pipeline.cli.output import say, status_document
from registration_pipeline.cli.session import DONE_WITH_FAILURES
from registration_pipeline.demo.claims import check_claims, expectation
from registration_pipeline.demo.configuration import BUCKET, BUCKET_SOURCE, DIRECTORY_SOURCE
from registration_pipeline.demo.labels import CAMERAS, corrected, labels_of, write_labels
from registration_pipeline.demo.layout import bucket_layout, directory_layout
from registration_pipeline.demo.observation import observe
from registration_pipeline.demo.processes import run_command
from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from registration_pipeline.demo.claims import Claim
    from registration_pipeline.demo.home import DemoHome
    from registration_pipeline.demo.labels import Label
    from registration_pipeline.demo.observation import Observation
    from registration_pipeline.demo.servers import DemoServers

_STEPS: Final = 9
_ADDED_FILES: Final = 10
_CORRECTED: Final = 3


class Story:
    """One run of the story in a demo's folder.

    Args:
        home: claimed and empty.
    """

    def __init__(self, home: DemoHome) -> None:
        self._home = home
        self._bucket = bucket_layout(home.bucket)
        self._directory = directory_layout(home.directory)
        self._store = LocalStateStore(home.state)
        self._step = 0
        self._began = time.monotonic()

    def generate(self) -> None:
        """Write the media files of both sources."""
        self._announce("Generate media files: images, videos, audio, PDF, text and NIfTI, some of them wrong")
        for layout in (self._bucket, self._directory):
            layout.write()
            say(
                f"  {escape(str(layout.folder))}: {layout.objects} objects, of which {len(layout.broken)} are broken, "
                f"{len(layout.rejected)} can't be registered and {len(layout.excluded)} are excluded by a rule"
            )
        write_labels(self._home.labels, self._labels(()))
        say(f"  {escape(str(self._home.labels))}: weather and speed of every camera frame")

    def _labels(self, added: Iterable[Path]) -> dict[str, Label]:
        """Return what the table says of the frames of the bucket, with those that were added."""
        names = [self._bucket.folder / name for name in self._bucket.media]
        keys = (self._bucket.key(path) for path in (*names, *self._bucket.broken_paths, *added))
        return labels_of((key for key in keys if key.startswith(CAMERAS)), seed=self._bucket.seed)

    def meet(self, servers: DemoServers) -> None:
        """Say which servers run, and check the configuration against them."""
        self._announce("Start a local S3 server and the local Encord sandbox, and check the configuration")
        say(f"  {servers.bucket.endpoint_url} holds the bucket {BUCKET} with {servers.bucket.objects} objects")
        say(f"  {servers.sandbox.url} accepts registrations and opens every object, as Encord does")
        say(f"  {escape(str(self._home.config))} describes both sources")
        self._run("check")
        self._announce("Add the declared metadata schema to Encord's, which loses nothing")
        self._run("schema", BUCKET_SOURCE, "--apply")

    def play(self, servers: DemoServers) -> dict[str, Any]:
        """Sync, read the failures, repair, retry, add files, sync again; return what is reported.

        Raises:
            RegistrationPipelineError: a command ended otherwise, or a claim of the report is not true.
        """
        self._announce("Sync: inventory, plan, manifests, submission and failure log, as Dagster runs")
        self._run("sync", expected=DONE_WITH_FAILURES)
        first = observe(self._home, servers, self._store)
        self._announce("Read the failure log: what was not registered, and why")
        self._run("failures")
        self._repair(servers)
        self._announce("Retry the chunks that failed, and only them")
        self._run("submit", BUCKET_SOURCE, "--failed", expected=DONE_WITH_FAILURES)
        self._run("submit", DIRECTORY_SOURCE, "--failed", expected=DONE_WITH_FAILURES)
        retried = observe(self._home, servers, self._store)
        what = f"Add {_ADDED_FILES} files to the bucket, correct {_CORRECTED} labels, and sync again, as every night"
        self._announce(what)
        added = self._bucket.add_files(_ADDED_FILES)
        servers.bucket.upload(self._home.bucket, added)
        labels = self._labels(added)
        other = corrected(labels, _CORRECTED)
        write_labels(self._home.labels, labels | other)
        self._run("sync", expected=DONE_WITH_FAILURES)
        last = observe(self._home, servers, self._store)
        self._announce("Report")
        self._run("status")
        claims = check_claims(
            expectation(self._bucket, self._directory, added, labels | other, frozenset(other)), first, retried, last
        )
        self._report(claims, first, retried, last)
        return {
            "claims": [{"text": claim.text, "holds": claim.holds} for claim in claims],
            "upload_jobs": len(last.jobs),
            "items": sum(last.registered.values()),
            "dagster_runs": last.runs,
            "seconds": round(time.monotonic() - self._began, 1),
            **status_document(last.statuses.values()),
        }

    def _repair(self, servers: DemoServers) -> None:
        self._announce("Repair the broken files")
        for layout in (self._bucket, self._directory):
            for path in layout.repair_files(layout.broken_paths):
                say(f"  {escape(str(path))}")
        servers.bucket.upload(self._home.bucket, self._bucket.broken_paths)

    def _report(self, claims: list[Claim], first: Observation, retried: Observation, last: Observation) -> None:
        sync, retry = len(first.jobs), len(retried.jobs) - len(first.jobs)
        say(f"  upload jobs: {len(last.jobs)} ({sync} in the first sync, {retry} retried, the rest new)")
        say(f"  items in the sandbox: {sum(last.registered.values())}")
        say(f"  Dagster runs: {last.runs}")
        for claim in claims:
            say(f"  {'[green]true[/green] ' if claim.holds else '[red]FALSE[/red]'} {claim.text}")
        wrong = [claim.text for claim in claims if not claim.holds]
        if wrong:
            raise RegistrationPipelineError(
                f"The demo's result is not as expected. Not true: {' '.join(wrong)} This is a bug; {self._home.folder} "
                "shows what happened. Please report it with the output above."
            )
        say(f"The whole story took {time.monotonic() - self._began:.0f} seconds.")

    def _announce(self, what: str) -> None:
        self._step += 1
        say(f"\n[bold]{self._step} of {_STEPS}: {what}[/bold]  ({time.monotonic() - self._began:.0f} s)")

    def _run(self, *arguments: str, expected: int = 0) -> None:
        run_command(
            self._home.folder, arguments, say=lambda line: say(f"  [cyan]{escape(line)}[/cyan]"), expected={expected}
        )
