-- Writes events and their deliveries. The users are locked, so ids grow in version order per user.
-- name: InsertEvents :exec
WITH input AS (
    SELECT unnest(@event_ids::uuid[])       AS event_id,
           unnest(@aggregate_types::text[]) AS aggregate_type,
           unnest(@aggregate_ids::uuid[])   AS aggregate_id,
           unnest(@event_types::text[])     AS event_type,
           unnest(@ordering_keys::uuid[])   AS ordering_key,
           unnest(@versions::bigint[])      AS version,
           unnest(@payloads::bytea[])       AS payload,
           unnest(@headers::text[])         AS headers,
           unnest(@occurred_ats::timestamptz[]) AS occurred_at,
           unnest(@lanes::int[])            AS lane),
events AS (
    INSERT INTO profile.outbox_events
        (event_id, aggregate_type, aggregate_id, event_type, ordering_key, version, payload, headers, occurred_at)
    SELECT event_id, aggregate_type, aggregate_id, event_type, ordering_key, version, payload, headers::jsonb, occurred_at
    FROM input
    ORDER BY ordering_key, version
    RETURNING id, slot, event_id)
INSERT INTO profile.outbox_deliveries (id, slot, lane, ordering_key)
SELECT e.id, e.slot, i.lane::smallint, i.ordering_key
FROM events e
JOIN input i ON i.event_id = e.event_id;
