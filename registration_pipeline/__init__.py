"""registration-pipeline: every object of a bucket registered in Encord, exactly once.

Only the version belongs here. Nothing is re-exported, so that importing the package has no effect and costs nothing.
"""

__version__ = "0.1.0"
