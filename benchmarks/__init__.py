"""How fast this system is, beside a bare Celery task and beside the floor, in the same run.

    make bench                                  # some ten minutes; writes benchmarks/results/
    .venv/bin/python -m benchmarks --quick      # some two minutes
    .venv/bin/python -m benchmarks --only gate  # or system, durable

The gate by itself, beside other libraries for limits, locks and breakers: see `benchmarks.gate`.
Steps, waits and trees, beside other systems that keep what they do: see `benchmarks.durable`.

The *floor* of a spawn is one PostgreSQL commit and one Redis round trip: less cannot be asked of
anything that is durable and decides. *Bare Celery* is a task of the same broker, worker settings
and thread pool as ours, with nothing of ours in it; *stock Celery* is a task as Celery comes.

All variants run in turns (A B C, C B A, ...), so that what else the machine does hits them alike,
and each ratio is the median of the ratios of the single rounds. Absolute figures hold for one
machine at one hour; the ratios hold.
"""
