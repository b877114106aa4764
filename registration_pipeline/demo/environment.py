"""The environment that a demo's commands run in: nothing of the user's settings for Encord, AWS or Dagster gets in.

What does not belong here: starting the commands (``commands``).
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from registration_pipeline.demo.bucket import HOST, REGION
from registration_pipeline.sandbox.keys import KEY_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registration_pipeline.demo.configuration import DemoPorts
    from registration_pipeline.demo.home import DemoHome

_FOREIGN = ("ENCORD_", "AWS_", "DAGSTER_", "REGISTRATION_", "MOTO_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_UNSET = ("ENCORD_SSH_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3")
_ANY_CREDENTIAL = "demo"
_SCRIPT_HEAD = """\
# Points the commands of this shell at the demo in this folder:  . {script}
# The servers run while `registration-pipeline demo --dir {folder} --ui` does; `status` and `failures` need none.
"""


def demo_environment(home: DemoHome, ports: DemoPorts) -> Mapping[str, str]:
    """Return the variables that point the pipeline, Dagster and AWS clients at the demo."""
    nowhere = str(home.folder / "no-aws-configuration")
    local = f"{HOST},localhost"
    return {
        "REGISTRATION_CONFIG": str(home.config),
        "DAGSTER_HOME": str(home.dagster_home),
        "ENCORD_DOMAIN": ports.domain,
        "ENCORD_SSH_KEY_FILE": str(home.sandbox / KEY_FILE),
        "AWS_ACCESS_KEY_ID": _ANY_CREDENTIAL,
        "AWS_SECRET_ACCESS_KEY": _ANY_CREDENTIAL,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": ports.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "NO_PROXY": local,
        "no_proxy": local,
    }


@contextmanager
def isolated_environment(home: DemoHome, ports: DemoPorts) -> Iterator[None]:
    """Make the demo's variables those of this process and its children, until the block ends.

    The servers run in this process, and boto3 reads its settings from the process's environment alone.
    """
    before = dict(os.environ)
    try:
        for name in before:
            if name.startswith(_FOREIGN) or name.lower() in _PROXIES:
                del os.environ[name]
        os.environ.update(demo_environment(home, ports))
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def write_environment_script(home: DemoHome, ports: DemoPorts) -> None:
    """Write ``env.sh``, with which a user's own shell works on the demo."""
    folder, script = shlex.quote(str(home.folder)), shlex.quote(str(home.environment_script))
    lines = [_SCRIPT_HEAD.format(folder=folder, script=script), f"unset {' '.join(_UNSET)}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in demo_environment(home, ports).items()]
    commands = Path(sys.executable).parent
    if (commands / "registration-pipeline").exists():
        lines.append(f'export PATH={shlex.quote(str(commands))}:"$PATH"')
    home.environment_script.write_text("\n".join(lines) + "\n", encoding="utf-8")
