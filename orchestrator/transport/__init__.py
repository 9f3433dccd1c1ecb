"""Floor 1: roads between processes: how work reaches Celery workers, and how facts are told."""
