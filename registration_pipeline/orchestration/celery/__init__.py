"""Runs and steps on Celery workers: the workers' app, and the launcher that starts runs there. Needs the extra ``celery``, but for what is checked."""
