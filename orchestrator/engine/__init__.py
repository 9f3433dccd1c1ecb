"""Floor 2: the verbs, one file each. Names no SQL, no Redis and no Celery."""
