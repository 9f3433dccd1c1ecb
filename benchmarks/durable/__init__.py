"""What durable agents cost, beside `dbos`, `procrastinate` and Celery's own canvases.

All keep what they know on the same servers; each has one worker process. What a system cannot
express is left out. Favours to the others: the workflows of `dbos` start in the process that asks
(no queue, no limits, no other machine), and a line beside it has them go by its queue; that queue
and `procrastinate` look fifty times a second instead of once, and once in five seconds; nothing of
`procrastinate` or Celery is recorded as a step or replayed: a parent there is cut in pieces by
hand, and whoever ends last starts the next piece.

Every case ends with the last line of the last function, as that function's own process sees it.
"""
