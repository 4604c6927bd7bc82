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
