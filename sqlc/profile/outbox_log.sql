-- Where the log begins and ends in each slot that has events, oldest first, and the database's time.
-- name: ListLogSlots :many
SELECT s.slot::smallint AS slot, f.id AS first_id, f.created_at AS first_at, l.id AS last_id, l.created_at AS last_at,
       profile.clock_now()::timestamptz AS now
FROM (SELECT unnest(@slots::smallint[]) AS slot) AS s
CROSS JOIN LATERAL (
    SELECT a.id, a.created_at FROM profile.outbox_events a WHERE a.slot = s.slot ORDER BY a.id LIMIT 1) AS f
CROSS JOIN LATERAL (
    SELECT z.id, z.created_at FROM profile.outbox_events z WHERE z.slot = s.slot ORDER BY z.id DESC LIMIT 1) AS l
ORDER BY f.id;

-- The next events of a slot, whatever they are: how much is read does not depend on how much is asked for.
-- repeatable are those asked for that were delivered: not queued, not skipped, and not behind a dead letter of
-- their key, where they would only wait.
-- name: ScanLog :many
WITH scanned AS MATERIALIZED (
    SELECT e.id, e.event_id, e.ordering_key, e.event_type, e.created_at
    FROM profile.outbox_events e
    WHERE e.slot = @slot AND e.id > @after_id
    ORDER BY e.id
    LIMIT @page_limit)
SELECT s.id, s.ordering_key, s.event_type,
       (s.created_at >= @since::timestamptz AND s.created_at < @until::timestamptz
        AND (@only_key::uuid = '00000000-0000-0000-0000-000000000000' OR s.ordering_key = @only_key::uuid)
        AND (@only_type::text = '' OR s.event_type = @only_type::text)
        AND NOT EXISTS (SELECT FROM profile.outbox_deliveries d WHERE d.id = s.id)
        AND NOT EXISTS (SELECT FROM profile.outbox_skipped k WHERE k.event_id = s.event_id)
        AND NOT EXISTS (SELECT FROM profile.outbox_deliveries b
                        WHERE b.dead_at IS NOT NULL AND b.ordering_key = s.ordering_key AND b.id < s.id))::boolean AS repeatable
FROM scanned s
ORDER BY s.id;

-- Queues events of a slot again and returns those that were not queued already. The new epoch makes the holder
-- of their lanes read them: they lie below what it has read.
-- name: RequeueEvents :many
WITH queued AS (
    INSERT INTO profile.outbox_deliveries (id, slot, lane, ordering_key)
    SELECT unnest(@ids::bigint[]), @slot::smallint, unnest(@lanes::int[])::smallint, unnest(@ordering_keys::uuid[])
    ON CONFLICT (id) DO NOTHING
    RETURNING id, lane),
moved AS (
    UPDATE profile.outbox_lanes SET epoch = epoch + 1 WHERE lane IN (SELECT q.lane FROM queued q))
SELECT id FROM queued;

-- The slots that may be emptied: neither written today nor tomorrow, with nothing newer than the retention and
-- nothing queued, dead letters included. Ids are given out before the time is read, so that the last id is not
-- always the newest event: it is looked for among more of the last ones than are ever written at a time.
-- name: ListExpiredSlots :many
SELECT s.slot::smallint AS slot
FROM (SELECT unnest(@slots::smallint[]) AS slot) AS s
CROSS JOIN (SELECT floor(extract(epoch FROM profile.clock_now()) / 86400)::bigint AS number) AS day
CROSS JOIN LATERAL (
    SELECT a.id FROM profile.outbox_events a WHERE a.slot = s.slot ORDER BY a.id LIMIT 1) AS f
CROSS JOIN LATERAL (
    SELECT max(n.id) AS id, max(n.created_at) AS created_at
    FROM (SELECT z.id, z.created_at FROM profile.outbox_events z WHERE z.slot = s.slot ORDER BY z.id DESC LIMIT 1000) AS n) AS l
WHERE s.slot NOT IN (day.number % 10, (day.number + 1) % 10)
  AND l.created_at < profile.clock_now() - @retention::interval
  AND NOT EXISTS (SELECT FROM profile.outbox_deliveries d WHERE d.id BETWEEN f.id AND l.id AND d.slot = s.slot);

-- false: another instance is emptying slots.
-- name: TryLockLog :one
SELECT pg_try_advisory_xact_lock(hashtextextended('profile outbox_events', 0))::bool AS locked;
