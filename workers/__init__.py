"""Floor 4: the Celery application and the worker processes."""
