-- name: BatchGetProfiles :many
SELECT * FROM profile.users WHERE user_id = ANY (@user_ids::uuid[]);

-- name: LockProfile :one
SELECT * FROM profile.users WHERE user_id = @user_id FOR UPDATE;

-- No row: somebody created it first. One reading of the clock, so that both times are the same.
-- name: CreateProfile :one
INSERT INTO profile.users (user_id, display_name, avatar_url, learning_goal, daily_quota_minutes, extra, created_at, updated_at)
SELECT @user_id, @display_name, @avatar_url, @learning_goal, @daily_quota_minutes, (@extra::text)::jsonb, clock.now, clock.now
FROM (SELECT profile.clock_now() AS now) AS clock
ON CONFLICT (user_id) DO NOTHING
RETURNING *;

-- No row: expected_version is no longer current (S62).
-- name: UpdateProfile :one
UPDATE profile.users
SET display_name        = @display_name,
    avatar_url          = @avatar_url,
    learning_goal       = @learning_goal,
    daily_quota_minutes = @daily_quota_minutes,
    extra               = (@extra::text)::jsonb,
    profile_version     = profile_version + 1
WHERE user_id = @user_id AND profile_version = @expected_version
RETURNING *;
