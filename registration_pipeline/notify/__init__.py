"""Messages to people: when a night goes wrong, and when it is well again. ``deliver`` is all that others need.

What does not belong here: noticing what happens (``orchestration/alerts.py``, the commands), and the settings of the targets.
"""

from registration_pipeline.notify.deliver import deliver
from registration_pipeline.notify.incident import Incident, IncidentKind

__all__ = ["Incident", "IncidentKind", "deliver"]
