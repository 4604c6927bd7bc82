-- Locks the rows of distinct users in key order and reads the clock after each lock is held (S17, S93). When
-- any is missing it locks none: nobody waits for a new row (EnsureUsers) while holding an old one.
-- name: LockUsers :many
WITH locked AS MATERIALIZED (
    SELECT user_id, like_count, bookmark_count, watched_count, event_seq
    FROM profile.user_stats
    WHERE user_id = ANY (@user_ids::uuid[])
      AND (SELECT count(*) FROM profile.user_stats WHERE user_id = ANY (@user_ids::uuid[])) = cardinality(@user_ids::uuid[])
    ORDER BY user_id
    FOR UPDATE)
SELECT user_id, like_count, bookmark_count, watched_count, event_seq, profile.clock_now()::timestamptz AS now
FROM locked;

-- LockUsers that waits for nobody: rows that are missing, or that somebody else has locked, are left out.
-- name: LockFreeUsers :many
WITH locked AS MATERIALIZED (
    SELECT u.user_id, u.like_count, u.bookmark_count, u.watched_count, u.event_seq
    FROM (SELECT unnest(@user_ids::uuid[]) AS user_id) i
    CROSS JOIN LATERAL (
        SELECT s.user_id, s.like_count, s.bookmark_count, s.watched_count, s.event_seq
        FROM profile.user_stats s WHERE s.user_id = i.user_id
        LIMIT 1
        FOR UPDATE SKIP LOCKED) u)
SELECT user_id, like_count, bookmark_count, watched_count, event_seq, profile.clock_now()::timestamptz AS now
FROM locked;

-- Creates, in key order, the rows that do not exist and returns those, which nobody else can have locked. Whoever
-- creates a user has claimed the id before, so that CreateFreeUsers can see it; this waits for the claim.
-- name: EnsureUsers :many
WITH claimed AS MATERIALIZED (
    SELECT i.user_id, pg_advisory_xact_lock(hashtextextended(i.user_id::text, 1)) AS claim
    FROM (SELECT unnest(@user_ids::uuid[]) AS user_id ORDER BY 1) i)
INSERT INTO profile.user_stats (user_id)
SELECT user_id FROM claimed
ORDER BY user_id
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id, profile.clock_now()::timestamptz AS now;

-- EnsureUsers that leaves out whom somebody else is creating: a transaction that holds other users' locks must not wait.
-- name: CreateFreeUsers :many
WITH claimed AS MATERIALIZED (
    SELECT i.user_id, pg_try_advisory_xact_lock(hashtextextended(i.user_id::text, 1)) AS free
    FROM (SELECT unnest(@user_ids::uuid[]) AS user_id) i)
INSERT INTO profile.user_stats (user_id)
SELECT user_id FROM claimed WHERE free
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id, profile.clock_now()::timestamptz AS now;

-- The rows are locked. event_seq becomes the version of the user's last event of this batch. The rows are found by their
-- key, and what moves them by its place: a join could begin with the table, and would, when it was empty the day the plan
-- was made.
-- name: AdvanceUsers :many
UPDATE profile.user_stats AS s
SET like_count     = s.like_count + (@likes::bigint[])[array_position(@user_ids::uuid[], s.user_id)],
    bookmark_count = s.bookmark_count + (@bookmarks::bigint[])[array_position(@user_ids::uuid[], s.user_id)],
    watched_count  = s.watched_count + (@watched::bigint[])[array_position(@user_ids::uuid[], s.user_id)],
    event_seq      = s.event_seq + (@events::bigint[])[array_position(@user_ids::uuid[], s.user_id)],
    updated_at     = profile.clock_now()
WHERE s.user_id = ANY (@user_ids::uuid[])
RETURNING s.user_id, s.event_seq;
