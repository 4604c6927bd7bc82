-- Locks the rows of distinct users in key order and reads the clock after each lock is held (S17, S93). When
-- any is missing it locks none: nobody waits for a new row (EnsureUsers) while holding an old one.
-- name: LockUsers :many
WITH locked AS MATERIALIZED (
    SELECT user_id, like_count, bookmark_count, watched_count
    FROM profile.user_stats
    WHERE user_id = ANY (@user_ids::uuid[])
      AND (SELECT count(*) FROM profile.user_stats WHERE user_id = ANY (@user_ids::uuid[])) = cardinality(@user_ids::uuid[])
    ORDER BY user_id
    FOR UPDATE)
SELECT user_id, like_count, bookmark_count, watched_count, profile.clock_now()::timestamptz AS now
FROM locked;

-- name: EnsureUsers :exec
INSERT INTO profile.user_stats (user_id)
SELECT user_id FROM (SELECT unnest(@user_ids::uuid[]) AS user_id) AS input
ORDER BY user_id
ON CONFLICT (user_id) DO NOTHING;

-- The rows are locked by LockUsers. event_seq is the version of the user's last event of this batch.
-- name: AdvanceUsers :many
UPDATE profile.user_stats AS s
SET like_count     = s.like_count + d.likes,
    bookmark_count = s.bookmark_count + d.bookmarks,
    watched_count  = s.watched_count + d.watched,
    event_seq      = s.event_seq + d.events
FROM (SELECT unnest(@user_ids::uuid[])     AS user_id,
             unnest(@likes::bigint[])      AS likes,
             unnest(@bookmarks::bigint[])  AS bookmarks,
             unnest(@watched::bigint[])    AS watched,
             unnest(@events::bigint[])     AS events) AS d
WHERE s.user_id = d.user_id
RETURNING s.user_id, s.event_seq;
