"""Runs and steps on Celery workers: the workers' app, and the launcher that starts runs there. Needs the extra ``celery``.

Only ``preflight.py`` is imported without it.
"""
