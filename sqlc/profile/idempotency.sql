-- false: another transaction is using this key now (S85).
-- name: TryLockIdempotencyKey :one
SELECT pg_try_advisory_xact_lock(hashtextextended(@scope::text, 0))::bool AS locked;

-- name: GetIdempotencyKey :one
SELECT fingerprint, response FROM profile.idempotency_keys
WHERE user_id = @user_id AND action = @action AND resource_id = @resource_id AND idempotency_key = @idempotency_key
  AND expires_at > (SELECT profile.clock_now());

-- Replaces an expired record of the same key.
-- name: PutIdempotencyKey :exec
INSERT INTO profile.idempotency_keys (user_id, action, resource_id, idempotency_key, fingerprint, response, expires_at)
VALUES (@user_id, @action, @resource_id, @idempotency_key, @fingerprint, (@response::text)::jsonb,
        (SELECT profile.clock_now()) + make_interval(secs => @retention_seconds::double precision))
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
