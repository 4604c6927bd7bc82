-- Claims keys by their scopes and says of each, by its place, whether it could: another transaction may be using it
-- now (S85). Nobody waits.
-- name: TryLockIdempotencyKeys :many
SELECT i.place::int AS place, pg_try_advisory_xact_lock(hashtextextended(i.scope, 0))::bool AS locked
FROM (SELECT unnest(@places::int[]) AS place, unnest(@scopes::text[]) AS scope) i;

-- The answers that are kept, by the place of their key.
-- name: GetIdempotencyKeys :many
SELECT i.place::int AS place, k.fingerprint, k.response
FROM (SELECT unnest(@places::int[]) AS place, unnest(@user_ids::uuid[]) AS user_id, unnest(@actions::text[]) AS action,
             unnest(@resource_ids::uuid[]) AS resource_id, unnest(@keys::text[]) AS idempotency_key,
             profile.clock_now() AS now) i
CROSS JOIN LATERAL (
    SELECT r.fingerprint, r.response, r.expires_at FROM profile.idempotency_keys r
    WHERE r.user_id = i.user_id AND r.action = i.action AND r.resource_id = i.resource_id AND r.idempotency_key = i.idempotency_key
    LIMIT 1) k
WHERE k.expires_at > i.now;

-- Keeps answers of distinct keys; an expired one of the same key is replaced.
-- name: PutIdempotencyKeys :exec
INSERT INTO profile.idempotency_keys (user_id, action, resource_id, idempotency_key, fingerprint, response, expires_at)
SELECT i.user_id, i.action, i.resource_id, i.idempotency_key, i.fingerprint, i.response::jsonb, n.expires_at
FROM (SELECT unnest(@user_ids::uuid[]) AS user_id, unnest(@actions::text[]) AS action, unnest(@resource_ids::uuid[]) AS resource_id,
             unnest(@keys::text[]) AS idempotency_key, unnest(@fingerprints::bytea[]) AS fingerprint,
             unnest(@responses::text[]) AS response) i,
     (SELECT profile.clock_now() + make_interval(secs => @retention_seconds::double precision) AS expires_at) n
ON CONFLICT (user_id, action, resource_id, idempotency_key) DO UPDATE
SET fingerprint = excluded.fingerprint, response = excluded.response,
    created_at = profile.clock_now(), expires_at = excluded.expires_at;

-- Forgets expired records, oldest first. The time is read once, so that the index serves it.
-- name: PruneIdempotencyKeys :execrows
DELETE FROM profile.idempotency_keys k
USING (SELECT user_id, action, resource_id, idempotency_key FROM profile.idempotency_keys
       WHERE expires_at <= (SELECT profile.clock_now())
       ORDER BY expires_at
       LIMIT @max_rows
       FOR UPDATE SKIP LOCKED) old
WHERE k.user_id = old.user_id AND k.action = old.action AND k.resource_id = old.resource_id AND k.idempotency_key = old.idempotency_key;
