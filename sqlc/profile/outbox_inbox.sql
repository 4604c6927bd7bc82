-- Writes events and their deliveries. The users are locked, so ids, which are given out in this order, grow in version
-- order per user. Both tables are written from one list: nothing has to be joined.
-- name: InsertEvents :exec
WITH input AS MATERIALIZED (
    SELECT nextval('profile.outbox_events_id_seq') AS id, s.*
    FROM (SELECT i.*, (floor(date_part('epoch', n.now) / 86400)::bigint % 10)::smallint AS slot, n.now
          FROM (SELECT unnest(@event_ids::uuid[])       AS event_id,
                       unnest(@aggregate_types::text[]) AS aggregate_type,
                       unnest(@aggregate_ids::uuid[])   AS aggregate_id,
                       unnest(@event_types::text[])     AS event_type,
                       unnest(@ordering_keys::uuid[])   AS ordering_key,
                       unnest(@versions::bigint[])      AS version,
                       unnest(@payloads::bytea[])       AS payload,
                       unnest(@headers::text[])         AS headers,
                       unnest(@occurred_ats::timestamptz[]) AS occurred_at,
                       unnest(@lanes::int[])            AS lane) i,
               (SELECT profile.clock_now() AS now) n
          ORDER BY i.ordering_key, i.version) s),
events AS (
    INSERT INTO profile.outbox_events
        (slot, id, event_id, aggregate_type, aggregate_id, event_type, ordering_key, version, payload, headers, occurred_at, created_at)
    OVERRIDING SYSTEM VALUE
    SELECT slot, id, event_id, aggregate_type, aggregate_id, event_type, ordering_key, version, payload, headers::jsonb, occurred_at, now
    FROM input)
INSERT INTO profile.outbox_deliveries (id, slot, lane, ordering_key, available_at)
SELECT id, slot, lane::smallint, ordering_key, now
FROM input;
