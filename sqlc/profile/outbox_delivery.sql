-- Forgets events that the broker acknowledged. Each is looked up in the index of lanes and deleted where it is: by ids
-- alone an index that is mostly dead rows would be walked from end to end, when the plan was made on the first day.
-- name: ForgetDeliveries :exec
DELETE FROM profile.outbox_deliveries
WHERE ctid = ANY (ARRAY(
    SELECT f.ctid
    FROM (SELECT unnest(@lanes::smallint[]) AS lane, unnest(@ids::bigint[]) AS id) AS a
    CROSS JOIN LATERAL (
        SELECT q.ctid FROM profile.outbox_deliveries q
        WHERE (q.lane, q.id) >= (a.lane, a.id) AND (q.lane, q.id) <= (a.lane, a.id)
        ORDER BY q.lane, q.id
        LIMIT 1) AS f));

-- Reads what this publisher has not read yet, by one snapshot. Per
-- lane that is every row above the cursor, up to its limit, and every row below it that the snapshot of the
-- last read did not show: what was running then (xip), or had not been seen to begin (xmax). A lane that is not
-- held under its epoch any more gives nothing. The answer carries the snapshot for the next read. There is
-- always at least one row; id is 0 when nothing is to be published. Rows come in no particular order.
-- late is materialized so that it is found by its writers: everything below a cursor is mostly dead rows. Each event is
-- found by its key: a join could begin with the log, and would, when the plan was made on the first day. The rows of a
-- lane are asked for so that no index but that of lanes has their order: by id alone every lane would be walked for one.
-- name: TakeDeliveries :many
WITH held AS MATERIALIZED (
    SELECT l.lane, r.cursor, r.lane_limit
    FROM (SELECT unnest(@lanes::smallint[]) AS lane, unnest(@epochs::bigint[]) AS epoch,
                 unnest(@cursors::bigint[]) AS cursor, unnest(@limits::integer[]) AS lane_limit) AS r
    JOIN profile.outbox_lanes l ON l.lane = r.lane AND l.epoch = r.epoch),
late AS MATERIALIZED (
    SELECT d.id, d.slot, d.lane, d.delivery_attempts, d.dead_at
    FROM profile.outbox_deliveries d
    WHERE d.writer = ANY (array(SELECT pg_snapshot_xip(nullif(@snapshot::text, '')::pg_snapshot)))
    UNION ALL
    SELECT d.id, d.slot, d.lane, d.delivery_attempts, d.dead_at
    FROM profile.outbox_deliveries d
    WHERE d.writer >= pg_snapshot_xmax(nullif(@snapshot::text, '')::pg_snapshot)),
unread AS (
    SELECT d.id, d.slot, d.lane, d.delivery_attempts, d.dead_at
    FROM held h
    CROSS JOIN LATERAL (
        SELECT q.id, q.slot, q.lane, q.delivery_attempts, q.dead_at
        FROM profile.outbox_deliveries q
        WHERE (q.lane, q.id) > (h.lane, h.cursor) AND q.lane <= h.lane
        ORDER BY q.lane, q.id
        LIMIT h.lane_limit) AS d
    UNION ALL
    SELECT d.id, d.slot, d.lane, d.delivery_attempts, d.dead_at
    FROM late d
    JOIN held h ON h.lane = d.lane AND d.id <= h.cursor)
SELECT s.snapshot::text                          AS snapshot,
       coalesce(e.id, 0)::bigint                 AS id,
       coalesce(e.lane, 0)::smallint             AS lane,
       coalesce(e.delivery_attempts, 0)::integer AS delivery_attempts,
       (e.dead_at IS NOT NULL)::boolean          AS dead,
       coalesce(e.event_id, '00000000-0000-0000-0000-000000000000')::uuid AS event_id,
       coalesce(e.aggregate_id, '00000000-0000-0000-0000-000000000000')::uuid AS aggregate_id,
       coalesce(e.ordering_key, '00000000-0000-0000-0000-000000000000')::uuid AS ordering_key,
       coalesce(e.aggregate_type, '')::text      AS aggregate_type,
       coalesce(e.event_type, '')::text          AS event_type,
       coalesce(e.version, 0)::bigint            AS version,
       e.payload,
       coalesce(e.trace_parent, '')::text        AS trace_parent,
       coalesce(e.occurred_at, 'epoch')::timestamptz AS occurred_at,
       coalesce(extract(epoch FROM profile.clock_now() - e.created_at), 0)::float8 AS age_seconds
FROM (SELECT pg_current_snapshot()::text AS snapshot) AS s
LEFT JOIN (
    SELECT u.id, u.lane, u.delivery_attempts, u.dead_at, e.event_id, e.aggregate_type, e.aggregate_id, e.event_type,
           e.ordering_key, e.version, e.payload, e.headers ->> 'traceparent' AS trace_parent, e.occurred_at, e.created_at
    FROM unread u
    CROSS JOIN LATERAL (SELECT * FROM profile.outbox_events l WHERE l.slot = u.slot AND l.id = u.id LIMIT 1) AS e) AS e ON true;

-- Books one refusal of an event, and dead-letters it when that was the last allowed one. No row: the lane is
-- held by somebody else, or the event is not waiting any more.
-- name: RefuseDelivery :one
UPDATE profile.outbox_deliveries AS d
SET delivery_attempts = d.delivery_attempts + 1,
    last_error        = @last_error,
    available_at      = profile.clock_now() + @retry_after::interval,
    dead_at           = CASE WHEN d.delivery_attempts + 1 >= @max_attempts::integer THEN profile.clock_now() END
FROM profile.outbox_lanes l
WHERE d.id = @id AND d.dead_at IS NULL AND l.lane = d.lane AND l.epoch = @epoch
RETURNING d.delivery_attempts, (d.dead_at IS NOT NULL)::boolean AS dead;

-- About how many events wait, without reading them.
-- name: EstimateBacklog :one
SELECT pg_stat_get_live_tuples('profile.outbox_deliveries'::regclass)::bigint AS backlog;

-- Says that this publisher is alive for lease, forgets those long gone, and counts the living. A time further
-- ahead than two leases was written before the clock was set back.
-- name: MeetPublishers :one
WITH me AS (
    INSERT INTO profile.outbox_publishers (instance, seen_until)
    VALUES (@instance, profile.clock_now() + @lease::interval)
    ON CONFLICT (instance) DO UPDATE SET seen_until = excluded.seen_until),
gone AS (
    DELETE FROM profile.outbox_publishers AS g
    WHERE g.instance <> @instance AND g.seen_until < profile.clock_now() - 100 * @lease::interval)
SELECT 1 + count(*) AS publishers
FROM profile.outbox_publishers AS o
WHERE o.instance <> @instance AND o.seen_until BETWEEN profile.clock_now() AND profile.clock_now() + 2 * @lease::interval;

-- name: LeavePublishers :exec
DELETE FROM profile.outbox_publishers WHERE instance = @instance;

-- Prolongs every lease this publisher still has.
-- name: RenewLanes :many
UPDATE profile.outbox_lanes
SET lease_until = profile.clock_now() + @lease::interval
WHERE owner = @instance::text
RETURNING lane, epoch;

-- Takes up to lane_limit lanes nobody holds, each under a new epoch.
-- name: AcquireLanes :many
UPDATE profile.outbox_lanes
SET owner = @instance::text, epoch = epoch + 1, lease_until = profile.clock_now() + @lease::interval
WHERE lane IN (
    SELECT lane FROM profile.outbox_lanes
    WHERE owner IS NULL OR lease_until < profile.clock_now() OR lease_until > profile.clock_now() + 2 * @lease::interval
    ORDER BY lane
    LIMIT @lane_limit
    FOR UPDATE SKIP LOCKED)
RETURNING lane, epoch;

-- name: ReleaseLanes :exec
UPDATE profile.outbox_lanes
SET owner = NULL, epoch = epoch + 1, lease_until = NULL
WHERE owner = @instance::text AND lane = ANY (@lanes::smallint[]);

-- The age in seconds of the oldest event that the holder of these lanes has not read; dead letters apart, 0
-- without one.
-- name: OldestUnread :one
SELECT coalesce(max(extract(epoch FROM profile.clock_now() - e.created_at)), 0)::float8 AS age_seconds
FROM (SELECT unnest(@lanes::smallint[]) AS lane, unnest(@cursors::bigint[]) AS cursor) AS r
CROSS JOIN LATERAL (
    SELECT q.id, q.slot
    FROM profile.outbox_deliveries q
    WHERE (q.lane, q.id) > (r.lane, r.cursor) AND q.lane <= r.lane AND q.dead_at IS NULL
    ORDER BY q.lane, q.id
    LIMIT 1) AS d
CROSS JOIN LATERAL (SELECT l.created_at FROM profile.outbox_events l WHERE l.slot = d.slot AND l.id = d.id LIMIT 1) AS e;
