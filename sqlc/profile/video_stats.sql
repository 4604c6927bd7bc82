-- Moves counters of distinct videos that have a row. The index gives them in the order of their keys, and so they are
-- locked (S17). See AdvanceUsers.
-- name: AdvanceVideos :many
UPDATE profile.video_stats AS s
SET like_count          = s.like_count + (@likes::bigint[])[array_position(@video_ids::uuid[], s.video_id)],
    bookmark_count      = s.bookmark_count + (@bookmarks::bigint[])[array_position(@video_ids::uuid[], s.video_id)],
    unique_watchers     = s.unique_watchers + (@watchers::bigint[])[array_position(@video_ids::uuid[], s.video_id)],
    total_watch_seconds = s.total_watch_seconds + (@seconds::bigint[])[array_position(@video_ids::uuid[], s.video_id)],
    stats_version       = s.stats_version + 1,
    updated_at          = profile.clock_now()
WHERE s.video_id = ANY (@video_ids::uuid[])
RETURNING s.video_id, s.like_count, s.bookmark_count, s.unique_watchers, s.total_watch_seconds,
          s.stats_version, s.updated_at;

-- Creates rows in key order. Nobody who waits here for another creator holds an old row (S17).
-- name: EnsureVideos :exec
INSERT INTO profile.video_stats (video_id)
SELECT unnest(@video_ids::uuid[]) AS video_id
ORDER BY 1
ON CONFLICT (video_id) DO NOTHING;

-- Rows exist only for videos somebody touched. All of them are one value: video_id, the four counters, stats_version and
-- updated_at of each, packed, in no particular order.
-- name: BatchGetVideoStats :one
SELECT coalesce(string_agg(uuid_send(video_id) || int8send(like_count) || int8send(bookmark_count) || int8send(unique_watchers)
                           || int8send(total_watch_seconds) || int8send(stats_version) || timestamptz_send(updated_at), ''), '')::bytea AS packed
FROM profile.video_stats
WHERE video_id = ANY (@video_ids::uuid[]);

-- Videos whose counters differ from a recount (S42); none when all is well.
-- name: FindStatsDrift :many
WITH likes AS (
    SELECT video_id,
           count(*) FILTER (WHERE engagement_type = 'like')     AS likes,
           count(*) FILTER (WHERE engagement_type = 'bookmark') AS bookmarks
    FROM profile.engagements WHERE deleted_at IS NULL GROUP BY video_id),
watches AS (
    SELECT video_id, count(*) AS watchers, sum(counted_seconds)::bigint AS seconds
    FROM profile.watch_logs WHERE qualified_at IS NOT NULL GROUP BY video_id)
SELECT coalesce(s.video_id, l.video_id, w.video_id)::uuid AS video_id,
       coalesce(s.like_count, 0)::bigint                  AS stored_likes,
       coalesce(l.likes, 0)::bigint                       AS counted_likes,
       coalesce(s.bookmark_count, 0)::bigint              AS stored_bookmarks,
       coalesce(l.bookmarks, 0)::bigint                   AS counted_bookmarks,
       coalesce(s.unique_watchers, 0)::bigint             AS stored_watchers,
       coalesce(w.watchers, 0)::bigint                    AS counted_watchers,
       coalesce(s.total_watch_seconds, 0)::bigint         AS stored_seconds,
       coalesce(w.seconds, 0)::bigint                     AS counted_seconds
FROM profile.video_stats s
FULL JOIN likes l ON l.video_id = s.video_id
FULL JOIN watches w ON w.video_id = coalesce(s.video_id, l.video_id)
WHERE (coalesce(s.like_count, 0), coalesce(s.bookmark_count, 0), coalesce(s.unique_watchers, 0), coalesce(s.total_watch_seconds, 0))
   <> (coalesce(l.likes, 0), coalesce(l.bookmarks, 0), coalesce(w.watchers, 0), coalesce(w.seconds, 0))
ORDER BY 1;
