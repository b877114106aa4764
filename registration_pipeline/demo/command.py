"""The ``demo`` command: the whole main job on generated media, and the Dagster UI on what came out of it.

What does not belong here: the steps of the story (``story``) and everything that they need.
"""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from registration_pipeline.cli.output import notice, print_json, say
from registration_pipeline.demo.configuration import (
    BUCKET_SOURCE,
    DIRECTORY_SOURCE,
    configured_ports,
    free_port,
    free_ports,
    kept_ports,
    require_free,
    write_configuration,
)
from registration_pipeline.demo.environment import isolated_environment, write_environment_script
from registration_pipeline.demo.extra import MEDIA, MOTO, PILLOW, require_demo_extra
from registration_pipeline.demo.home import DemoHome
from registration_pipeline.demo.processes import interruptible
from registration_pipeline.demo.servers import serving
from registration_pipeline.demo.story import Story
from registration_pipeline.demo.ui import dagster_ui

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.demo.servers import DemoServers

_DONE = 0
_GUIDE = """\
  Dagster UI   {ui}/locations/registration_pipeline/asset-groups/{group}
  sandbox      {sandbox} (the local Encord); what it holds: {admin}
  S3 server    {bucket}
  log          {log}

What to try:
  1. Plant a failure:  echo '{rule}' > {rules}
  2. Add a file that it strikes:  cp {directory}/clips/drive_0001.mp4 {directory}/clips/oops.mp4
  3. Launch the job {group}_sync: {ui}/locations/registration_pipeline/jobs/{group}_sync, tab Launchpad
  4. See the failed chunk at {ui}/assets/{source}/registration?view=partitions
  5. Repair with  rm {rules}  and launch the job {group}_retry_failed.
  6. Materialize all partitions of {source} / registration again: nothing is registered twice.
  7. Change labels:  sed -i s/,sun,/,rain,/ {labels}  and launch the job {other_group}_sync: the new values are sent to
     the items that are there. See {ui}/assets/{other_source}/metadata_upserts

For your own shell:  . {script} && registration-pipeline status
"""
_RULE = '[{"pattern": "oops", "error": "Planted: the object can not be read"}]'


def run_demo(folder: Path, *, as_json: bool = False) -> int:
    """Run the whole story in a folder, from the beginning, and return the exit status: 0 when every claim is true.

    Args:
        folder: absolute; made if missing, started over if a demo made it.
        as_json: print the story on standard error and its report as one JSON document.

    Raises:
        UsageError: the folder holds something else, a port that the demo had is in use, or a package is missing.
        RegistrationPipelineError: a claim is not true, or a command ended otherwise.
    """
    with interruptible():
        if as_json:
            with redirect_stdout(sys.stderr):
                report = _run_story(DemoHome(folder))
            print_json(report)
        else:
            _run_story(DemoHome(folder))
    return _DONE


def serve_demo(folder: Path, ui_port: int) -> int:
    """Run the Dagster UI and the demo's servers until Ctrl-C and return the exit status.

    Args:
        folder: absolute; the demo runs first if none has finished there.
        ui_port: of the UI; the next free one if this is in use.

    Raises:
        UsageError: as ``run_demo``.
        RegistrationPipelineError: ``dagster dev`` ended by itself.
    """
    home = DemoHome(folder)
    with interruptible():
        if not home.is_finished:
            say(f"There is no finished demo in {escape(str(folder))}, so it runs first.")
            _run_story(home)
        ports = configured_ports(home)
        require_free(home, ports)
        port = free_port(ui_port, besides={ports.bucket, ports.sandbox})
        if port != ui_port:
            notice(f"Port {ui_port} is in use; the UI uses {port}.")
        try:
            with isolated_environment(home, ports), serving(home, ports) as servers, dagster_ui(home, port) as ui:
                say("\nStarting the Dagster UI …")
                ui.wait_until_it_answers()
                _guide(home, servers, ui.url)
                ui.watch()
        except KeyboardInterrupt:
            say("Ended: the UI, the sandbox and the S3 server.")
    return _DONE


def _run_story(home: DemoHome) -> dict[str, Any]:
    require_demo_extra({**PILLOW, **MEDIA, **MOTO})
    home.claim()
    kept = kept_ports(home)
    home.clear()
    story = Story(home)
    story.generate()
    ports = kept or free_ports()
    write_configuration(home, ports)
    write_environment_script(home, ports)
    with isolated_environment(home, ports), serving(home, ports) as servers:
        story.meet(servers)
        report = story.play(servers)
    home.finish()
    folder, script = shlex.quote(str(home.folder)), shlex.quote(str(home.environment_script))
    say("\nSee every run, chunk and failure in the Dagster UI:")
    say(f"  [cyan]registration-pipeline demo --dir {escape(folder)} --ui[/cyan]   (for ./demo: make dev)")
    say("Ask the state from your own shell (the servers of the demo have ended; only --ui starts them again):")
    say(f"  [cyan]. {escape(script)} && registration-pipeline status[/cyan]")
    return report


def _guide(home: DemoHome, servers: DemoServers, ui: str) -> None:
    text = _GUIDE.format(
        ui=ui,
        sandbox=servers.sandbox.url,
        admin=servers.sandbox.admin_url,
        labels=shlex.quote(str(home.labels)),
        other_source=BUCKET_SOURCE,
        other_group=BUCKET_SOURCE.replace("-", "_"),
        bucket=servers.bucket.endpoint_url,
        log=home.ui_log,
        directory=shlex.quote(str(home.directory)),
        source=DIRECTORY_SOURCE,
        group=DIRECTORY_SOURCE.replace("-", "_"),
        rule=_RULE,
        rules=shlex.quote(str(home.sandbox / "rules.json")),
        script=shlex.quote(str(home.environment_script)),
    )
    say(f"\n[bold]The demo is running. Ctrl-C ends it.[/bold]\n\n{escape(text)}")
