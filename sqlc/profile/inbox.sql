-- Remembers distinct events as processed and returns those that were not: what must be applied now. A failure
-- stored under the same id is settled by it.
-- name: ClaimInboxEvents :many
INSERT INTO profile.inbox_events AS e
    (event_id, generation, source_service, event_type, aggregate_type, aggregate_id, message_id, state, processed_at)
SELECT unnest(@event_ids::uuid[]) AS event_id, @generation::int, @source_service::text, unnest(@event_types::text[]),
       @aggregate_type::text, unnest(@aggregate_ids::text[]), nullif(unnest(@message_ids::text[]), ''), 'processed', profile.clock_now()
ORDER BY 1
ON CONFLICT (event_id, generation) DO UPDATE
SET state = 'processed', processed_at = excluded.processed_at, payload = NULL, attributes = NULL, last_error = NULL
WHERE e.state <> 'processed'
RETURNING event_id;

-- Keeps distinct failures, the newest word on each, and returns their ids; an event that was processed is left alone.
-- name: ParkInboxEvents :many
INSERT INTO profile.inbox_events AS e
    (event_id, generation, source_service, event_type, aggregate_type, aggregate_id, message_id, state, payload, attributes, last_error)
SELECT unnest(@event_ids::uuid[]) AS event_id, @generation::int, @source_service::text, unnest(@event_types::text[]),
       nullif(unnest(@aggregate_types::text[]), ''), nullif(unnest(@aggregate_ids::text[]), ''), nullif(unnest(@message_ids::text[]), ''),
       unnest(@states::text[]), unnest(@payloads::bytea[]), unnest(@attributes::text[])::jsonb, unnest(@last_errors::text[])
ORDER BY 1
ON CONFLICT (event_id, generation) DO UPDATE
SET state = excluded.state, event_type = excluded.event_type, aggregate_type = excluded.aggregate_type,
    aggregate_id = excluded.aggregate_id, message_id = excluded.message_id, payload = excluded.payload,
    attributes = excluded.attributes, last_error = excluded.last_error
WHERE e.state <> 'processed'
RETURNING event_id;

-- name: ListInboxFailures :many
SELECT event_id, generation, state, event_type, aggregate_type, aggregate_id, message_id,
       coalesce(octet_length(payload), 0)::int AS payload_bytes, last_error, received_at
FROM profile.inbox_events
WHERE processed_at IS NULL
  AND (@state::text = '' OR state = @state::text)
  AND (cardinality(@event_ids::uuid[]) = 0 OR event_id = ANY (@event_ids::uuid[]))
  AND (received_at, event_id, generation) > (@after_received_at::timestamptz, @after_event_id::uuid, @after_generation::int)
ORDER BY received_at, event_id, generation
LIMIT @page_limit;

-- name: LockInboxFailure :one
SELECT state, event_type, aggregate_type, aggregate_id, message_id, payload, coalesce(attributes, '{}')::text AS attributes, last_error
FROM profile.inbox_events
WHERE event_id = @event_id AND generation = @generation AND processed_at IS NULL
FOR UPDATE;

-- Settles failures without applying them; note goes before the reason. Returns those that were still kept.
-- name: DiscardInboxFailures :many
UPDATE profile.inbox_events AS e
SET state = 'processed', processed_at = profile.clock_now(), payload = NULL, attributes = NULL,
    last_error = concat(@note::text, e.last_error)
FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@generations::int[]) AS generation) AS k
WHERE e.event_id = k.event_id AND e.generation = k.generation AND e.processed_at IS NULL
RETURNING e.event_id, e.generation;

-- Counts stop at the limit, and the whole table is never read. The epoch stands for "none".
-- name: InboxStatus :one
SELECT (SELECT count(*) FROM (SELECT 1 FROM profile.inbox_events WHERE processed_at IS NULL AND state = 'dead' LIMIT @count_limit) d)   AS dead,
       (SELECT count(*) FROM (SELECT 1 FROM profile.inbox_events WHERE processed_at IS NULL AND state = 'parked' LIMIT @count_limit) p) AS parked,
       coalesce((SELECT f.received_at FROM profile.inbox_events f WHERE f.processed_at IS NULL ORDER BY f.received_at LIMIT 1),
                'epoch')::timestamptz AS oldest_failure,
       coalesce((SELECT l.received_at FROM profile.inbox_events l ORDER BY l.received_at DESC LIMIT 1), 'epoch')::timestamptz AS last_received,
       pg_total_relation_size('profile.inbox_events')::bigint AS table_bytes;

-- Forgets processed events, oldest first. The cut-off is computed once, so that the index serves it.
-- name: PruneInboxEvents :execrows
DELETE FROM profile.inbox_events e
USING (SELECT event_id, generation FROM profile.inbox_events
       WHERE received_at < (SELECT profile.clock_now() - make_interval(secs => @older_than_seconds::float8))
         AND processed_at IS NOT NULL
       ORDER BY received_at
       LIMIT @max_rows
       FOR UPDATE SKIP LOCKED) old
WHERE e.event_id = old.event_id AND e.generation = old.generation;
