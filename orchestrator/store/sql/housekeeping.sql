-- What the jobs of housekeeping have done.

-- name: expect_job
-- A process that does this job has been started: its age counts from now at the earliest.
INSERT INTO housekeeping (job, period, process) VALUES (%(job)s, %(period)s, %(process)s)
ON CONFLICT (job) DO UPDATE SET period = excluded.period;

-- name: record_round
-- The last round of a job, its sums, and a line of its own if it did anything.
WITH done AS (
    INSERT INTO housekeeping_rounds (job, process, seconds, counts)
    SELECT %(job)s, %(process)s, %(seconds)s, %(counts)s::jsonb
    WHERE %(counts)s::jsonb <> '{}'
)
INSERT INTO housekeeping AS known (job, period, process, ended_at, seconds, rounds, counts, totals)
VALUES (%(job)s, %(period)s, %(process)s, clock_timestamp(), %(seconds)s, 1, %(counts)s::jsonb,
        %(counts)s::jsonb)
ON CONFLICT (job) DO UPDATE
SET period = excluded.period, process = excluded.process, ended_at = excluded.ended_at,
    seconds = excluded.seconds, rounds = known.rounds + 1, counts = excluded.counts,
    totals = known.totals || (
        SELECT coalesce(jsonb_object_agg(
            key, value::numeric + coalesce((known.totals ->> key)::numeric, 0)), '{}')
        FROM jsonb_each_text(excluded.counts)
    );

-- name: jobs
SELECT *, extract(epoch FROM clock_timestamp() - ended_at)::float8 AS age
FROM housekeeping ORDER BY job;

-- name: rounds
-- The newest rounds that did anything, newest first.
SELECT * FROM housekeeping_rounds
WHERE %(job)s::text IS NULL OR job = %(job)s
ORDER BY sequence DESC LIMIT %(limit)s;

-- name: remove_rounds
WITH gone AS (
    DELETE FROM housekeeping_rounds
    WHERE sequence IN (
        SELECT sequence FROM housekeeping_rounds
        WHERE ended_at < clock_timestamp() - %(age)s * interval '1 second'
        ORDER BY ended_at LIMIT %(limit)s
    )
    RETURNING sequence
)
SELECT count(*) AS removed FROM gone;
