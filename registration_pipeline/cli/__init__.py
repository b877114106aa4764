"""The command line: options, help, output and exit statuses. Work is done by ``orchestration`` and the core."""
