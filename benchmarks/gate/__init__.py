"""What the gate's decisions cost, beside the libraries one would otherwise use for them.

Everything runs against one embedded server, durable as in production, with nobody else on it.
The *floor* is a bare PING by redis-py: a decision is a round trip, and can cost no less.

The peers are `limits`, `throttled-py`, `pybreaker`, the semaphore of `tasktiger` and the lock of
redis-py. None decides more than one thing at once, so a *chain* of them stands for the same
decision: not atomic, nobody waits in order, and what was taken stays taken when a later link
refuses. All that is left out in their favour.
"""
