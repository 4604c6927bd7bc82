-- Moves counters of distinct videos that have a row, in the order given, which must be that of the keys: rows are
-- locked as they are met, and a nested loop over the input is the only plan left (S17).
-- name: AdvanceVideos :many
UPDATE profile.video_stats AS s
SET like_count          = s.like_count + d.likes,
    bookmark_count      = s.bookmark_count + d.bookmarks,
    unique_watchers     = s.unique_watchers + d.watchers,
    total_watch_seconds = s.total_watch_seconds + d.seconds,
    stats_version       = s.stats_version + 1,
    updated_at          = profile.clock_now()
FROM (SELECT unnest(@video_ids::uuid[])    AS video_id,
             unnest(@likes::bigint[])      AS likes,
             unnest(@bookmarks::bigint[])  AS bookmarks,
             unnest(@watchers::bigint[])   AS watchers,
             unnest(@seconds::bigint[])    AS seconds) AS d
WHERE s.video_id = d.video_id
RETURNING s.video_id, s.like_count, s.bookmark_count, s.unique_watchers, s.total_watch_seconds,
          s.stats_version, s.updated_at;

-- Creates rows in key order. Nobody who waits here for another creator holds an old row (S17).
-- name: EnsureVideos :exec
INSERT INTO profile.video_stats (video_id)
SELECT unnest(@video_ids::uuid[]) AS video_id
ORDER BY 1
ON CONFLICT (video_id) DO NOTHING;

-- Rows exist only for videos somebody touched.
-- name: BatchGetVideoStats :many
SELECT s.video_id, s.like_count, s.bookmark_count, s.unique_watchers, s.total_watch_seconds, s.stats_version, s.updated_at
FROM (SELECT unnest(@video_ids::uuid[]) AS video_id) i
CROSS JOIN LATERAL (SELECT * FROM profile.video_stats t WHERE t.video_id = i.video_id LIMIT 1) s;

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
