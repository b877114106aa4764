"""The local Encord: speaks the SDK's wire contract over HTTP and keeps its data in SQLite.

The pipeline never imports it, except for the demo and the ``sandbox`` command.
"""
