"""What happened: journal, outcomes, status and failure log.

Only reading and recording belong here; what is sent is decided in ``submission``.
"""
