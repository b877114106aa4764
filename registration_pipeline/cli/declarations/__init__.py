"""The commands as people type them: arguments, options, help. A module per group, which ``cli/app.py`` puts together."""
