"""The command ``notify``: the channels of the configuration, and a test message to each.

What does not belong here: when messages are sent by themselves (``notify/``).
"""

from pathlib import Path

from rich.markup import escape

from registration_pipeline.cli.output import notice, print_json, say
from registration_pipeline.cli.session import DONE, HALTED, open_project
from registration_pipeline.errors import ConfigurationError
from registration_pipeline.project.alerts import channel_names, no_link_to_runs, send_test


def show_channels(config: Path | None, *, is_test: bool, as_json: bool) -> int:
    """Show the channels, after a test message if one is wanted, and return the exit status.

    Raises:
        ConfigurationError: there is no channel to test.
    """
    project = open_project(config)
    names = channel_names(project)
    if is_test and not names:
        raise ConfigurationError(
            f"there is no target in {project.settings.path}, so there is nothing to test; add one, e.g. "
            '- {slack: "${SLACK_WEBHOOK}"}',
            key="notify",
        )
    results = send_test(project) if is_test else dict.fromkeys(names)
    failed = {name: why for name, why in results.items() if why is not None}
    if as_json:
        sent = {name: {"sent": results[name] is None} if is_test else {} for name in names}
        print_json({"channels": [{"name": name, **sent[name], "error": results[name]} for name in names]})
        return HALTED if failed else DONE
    if not names:
        say("No one gets messages: `notify` has no target (docs/alerts.md).")
    for name in names:
        said = "test message sent" if is_test else "gets messages; --test sends one"
        say(escape(f"{name}: {said}") if name not in failed else f"{escape(name)}: [red]not sent[/red]")
    if names and (no_link := no_link_to_runs(project.environ)):
        notice(f"Note: {no_link}.")
    for name, why in failed.items():
        notice(f"Error: {name}: {why}.")
    return HALTED if failed else DONE
