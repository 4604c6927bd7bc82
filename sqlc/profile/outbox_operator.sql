-- One page of dead letters, and with retrying of other refused events too, in the order they are published.
-- waiting counts what is queued behind an event for its key, up to the limit. stuck is materialized so that a
-- page never walks the whole queue in search of a few dead rows.
-- name: ListStuckEvents :many
WITH stuck AS MATERIALIZED (
    SELECT d.id, d.slot, d.lane, d.ordering_key, d.delivery_attempts, d.last_error, d.dead_at
    FROM profile.outbox_deliveries d
    WHERE d.dead_at IS NOT NULL
    UNION ALL
    SELECT r.id, r.slot, r.lane, r.ordering_key, r.delivery_attempts, r.last_error, r.dead_at
    FROM profile.outbox_deliveries r
    WHERE @retrying::boolean AND r.dead_at IS NULL AND r.delivery_attempts > 0)
SELECT s.id, s.ordering_key, s.delivery_attempts, coalesce(s.last_error, '')::text AS last_error, s.dead_at,
       e.event_id, e.event_type, e.version, e.created_at,
       (SELECT count(*) FROM (
           SELECT 1 FROM profile.outbox_deliveries b
           WHERE b.lane = s.lane AND b.id > s.id AND b.ordering_key = s.ordering_key
           LIMIT @count_limit) AS behind)::bigint AS waiting
FROM stuck s
JOIN profile.outbox_events e ON e.slot = s.slot AND e.id = s.id
WHERE s.id > @after_id::bigint
  AND (cardinality(@ids::bigint[]) + cardinality(@event_ids::uuid[]) = 0
       OR s.id = ANY (@ids::bigint[]) OR e.event_id = ANY (@event_ids::uuid[]))
  AND (@ordering_key::uuid = '00000000-0000-0000-0000-000000000000' OR s.ordering_key = @ordering_key::uuid)
ORDER BY s.id
LIMIT @page_limit;

-- Gives dead letters their attempts back; last_error stays for whoever looks. The new epoch makes the holder of
-- their lanes read them from the start again. Returns those that were dead.
-- name: RedriveDeadLetters :many
WITH redriven AS (
    UPDATE profile.outbox_deliveries
    SET dead_at = NULL, delivery_attempts = 0, available_at = profile.clock_now()
    WHERE id = ANY (@ids::bigint[]) AND dead_at IS NOT NULL
    RETURNING id, lane),
moved AS (
    UPDATE profile.outbox_lanes SET epoch = epoch + 1 WHERE lane IN (SELECT r.lane FROM redriven r))
SELECT id FROM redriven;

-- Takes a dead letter out of the queue for good and remembers who did it and why; its lane is read again. No
-- row: it is not a dead letter (any more).
-- name: SkipDeadLetter :execrows
WITH skipped AS (
    DELETE FROM profile.outbox_deliveries
    WHERE id = @id::bigint AND dead_at IS NOT NULL
    RETURNING id, slot, lane, ordering_key, delivery_attempts, last_error),
moved AS (
    UPDATE profile.outbox_lanes SET epoch = epoch + 1 WHERE lane IN (SELECT k.lane FROM skipped k))
INSERT INTO profile.outbox_skipped
    (event_id, id, ordering_key, event_type, version, delivery_attempts, last_error, operator, reason)
SELECT e.event_id, s.id, s.ordering_key, e.event_type, e.version, s.delivery_attempts, s.last_error, @operator::text, @reason::text
FROM skipped s
JOIN profile.outbox_events e ON e.slot = s.slot AND e.id = s.id;

-- name: ListLanes :many
SELECT lane, coalesce(owner, '')::text AS owner, epoch,
       coalesce(-extract(epoch FROM profile.clock_now() - lease_until), 0)::float8 AS lease_seconds
FROM profile.outbox_lanes
ORDER BY lane;

-- Counting dead letters stops at the limit; the other two tables are small.
-- name: OutboxCounts :one
SELECT (SELECT count(*) FROM (SELECT 1 FROM profile.outbox_deliveries d WHERE d.dead_at IS NOT NULL LIMIT @count_limit) AS dead)::bigint AS dead_letters,
       (SELECT count(*) FROM profile.outbox_skipped)::bigint AS skipped,
       (SELECT count(*) FROM profile.outbox_publishers p WHERE p.seen_until > profile.clock_now())::bigint AS publishers;
