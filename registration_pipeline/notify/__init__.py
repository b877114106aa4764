"""Messages to people: when a night goes wrong, and when it is well again. Others import from here.

What does not belong here: noticing what happens (``orchestration/alerts.py``, the commands), and the settings of the targets.
"""

from registration_pipeline.notify.delivery import deliver, send_again, try_channels
from registration_pipeline.notify.incident import Incident, IncidentKind

__all__ = ["Incident", "IncidentKind", "deliver", "send_again", "try_channels"]
