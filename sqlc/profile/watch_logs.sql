-- The rows that exist. Their users are locked, and nobody writes them without that lock (S30).
-- name: GetWatchLogs :many
SELECT w.*
FROM (SELECT unnest(@user_ids::uuid[]) AS user_id, unnest(@video_ids::uuid[]) AS video_id) i
CROSS JOIN LATERAL (SELECT * FROM profile.watch_logs l WHERE l.user_id = i.user_id AND l.video_id = i.video_id LIMIT 1) w;

-- Stores merged rows of distinct (user, video), whatever was there; the rows are locked. Absent values
-- arrive as the zero time, -1 or empty text.
-- name: PutWatchLogs :exec
INSERT INTO profile.watch_logs
    (user_id, video_id, position_seconds, ratio_bp, resume_at, ratio_at, max_ratio_bp, furthest_seconds, reported_seconds, counted_seconds, qualified_at,
     completed_at, completed_count, completion_armed, last_emitted_ratio_bp, session_id, session_seq,
     first_watched_at, last_watched_at, expires_at)
SELECT unnest(@user_ids::uuid[]), unnest(@video_ids::uuid[]), unnest(@position_seconds::bigint[]),
       unnest(@ratio_bps::int[]), unnest(@resume_ats::timestamptz[]), unnest(@ratio_ats::timestamptz[]),
       unnest(@max_ratio_bps::int[]), unnest(@furthest_seconds::bigint[]),
       unnest(@reported_seconds::bigint[]), unnest(@counted_seconds::bigint[]), nullif(unnest(@qualified_ats::timestamptz[]), '0001-01-01 00:00:00+00'),
       nullif(unnest(@completed_ats::timestamptz[]), '0001-01-01 00:00:00+00'), unnest(@completed_counts::int[]),
       unnest(@completion_armed::bool[]), nullif(unnest(@last_emitted_ratio_bps::int[]), -1),
       nullif(unnest(@session_ids::text[]), ''), nullif(unnest(@session_seqs::bigint[]), -1), unnest(@first_watched_ats::timestamptz[]),
       unnest(@last_watched_ats::timestamptz[]), unnest(@expires_ats::timestamptz[])
ON CONFLICT (user_id, video_id) DO UPDATE
SET position_seconds      = excluded.position_seconds,
    ratio_bp              = excluded.ratio_bp,
    resume_at             = excluded.resume_at,
    ratio_at              = excluded.ratio_at,
    max_ratio_bp          = excluded.max_ratio_bp,
    furthest_seconds      = excluded.furthest_seconds,
    reported_seconds      = excluded.reported_seconds,
    counted_seconds       = excluded.counted_seconds,
    qualified_at          = excluded.qualified_at,
    completed_at          = excluded.completed_at,
    completed_count       = excluded.completed_count,
    completion_armed      = excluded.completion_armed,
    last_emitted_ratio_bp = excluded.last_emitted_ratio_bp,
    session_id            = excluded.session_id,
    session_seq           = excluded.session_seq,
    first_watched_at      = excluded.first_watched_at,
    last_watched_at       = excluded.last_watched_at,
    expires_at            = excluded.expires_at,
    updated_at            = excluded.updated_at;

-- The greatest numbers seen of sessions that have them here (S31, S47).
-- name: GetWatchSessions :many
SELECT w.user_id, w.video_id, w.session_id, w.seq
FROM (SELECT unnest(@user_ids::uuid[]) AS user_id, unnest(@video_ids::uuid[]) AS video_id, unnest(@session_ids::text[]) AS session_id) i
CROSS JOIN LATERAL (SELECT * FROM profile.watch_sessions s
                    WHERE s.user_id = i.user_id AND s.video_id = i.video_id AND s.session_id = i.session_id LIMIT 1) w;

-- Stores the numbers of distinct sessions; a smaller one than is stored changes nothing. Their users are locked.
-- name: PutWatchSessions :exec
INSERT INTO profile.watch_sessions AS s (user_id, video_id, session_id, seq)
SELECT unnest(@user_ids::uuid[]), unnest(@video_ids::uuid[]), unnest(@session_ids::text[]), unnest(@seqs::bigint[])
ON CONFLICT (user_id, video_id, session_id) DO UPDATE
SET seq = greatest(s.seq, excluded.seq), touched_at = excluded.touched_at;

-- Closes sessions nobody used for a while, longest unused first (S31). The time is read once, so that the index serves it.
-- name: PruneWatchSessions :execrows
DELETE FROM profile.watch_sessions s
USING (SELECT user_id, video_id, session_id FROM profile.watch_sessions
       WHERE touched_at <= (SELECT profile.clock_now() - make_interval(secs => @older_than_seconds::double precision))
       ORDER BY touched_at
       LIMIT @max_rows
       FOR UPDATE SKIP LOCKED) old
WHERE s.user_id = old.user_id AND s.video_id = old.video_id AND s.session_id = old.session_id;

-- Rows that wait for a length that has arrived (S36). Reading locks nothing: they are read again under their users' locks.
-- name: FindUnjudgedWatchLogs :many
SELECT w.user_id, w.video_id
FROM profile.watch_logs w
JOIN profile.videos_projection v ON v.video_id = w.video_id
WHERE w.furthest_seconds > 0 AND v.duration_micros > 0
LIMIT @max_rows;

-- What is kept of a user and videos, also below the threshold; with the length of the video, 0 when it is not known.
-- Nothing is asked of expires_at that would let its index, which knows no user, answer.
-- name: GetWatchProgress :many
SELECT sqlc.embed(w), coalesce(v.duration_micros, 0)::bigint AS duration_micros, (w.expires_at <= profile.clock_now())::bool AS expired
FROM profile.watch_logs w
LEFT JOIN LATERAL (SELECT p.duration_micros FROM profile.videos_projection p WHERE p.video_id = w.video_id LIMIT 1) v ON true
WHERE w.user_id = @user_id AND w.video_id = ANY (@video_ids::uuid[]);

-- Rows of histories that have not expired, each below its key, newest first within a history; nothing is asked of their
-- videos. Bounds: last_watched_at in [watched_after, watched_before); completion is empty, completed or in_progress. The
-- columns are those that are shown.
-- name: ListWatchHistory :many
SELECT i.ordinal::int AS ordinal, w.video_id, w.position_seconds, w.ratio_bp, w.resume_at, w.ratio_at, w.max_ratio_bp,
       w.counted_seconds, w.qualified_at, w.completed_at, w.completed_count, w.session_id, w.first_watched_at, w.last_watched_at, w.expires_at
FROM (SELECT unnest(@ordinals::int[])               AS ordinal,
             unnest(@user_ids::uuid[])              AS user_id,
             unnest(@before_ats::timestamptz[])     AS before_at,
             unnest(@before_videos::uuid[])         AS before_video_id,
             unnest(@watched_afters::timestamptz[]) AS watched_after,
             unnest(@watched_befores::timestamptz[]) AS watched_before,
             unnest(@completions::text[])           AS completion,
             unnest(@max_rows::int[])               AS max_rows) i
CROSS JOIN LATERAL (
    SELECT *
    FROM profile.watch_logs l
    WHERE l.user_id = i.user_id
      AND l.qualified_at IS NOT NULL
      AND l.expires_at > (SELECT profile.clock_now())
      AND (l.last_watched_at, l.video_id) < (i.before_at, i.before_video_id)
      AND l.last_watched_at >= i.watched_after
      AND l.last_watched_at < i.watched_before
      AND (i.completion = '' OR (l.completed_at IS NOT NULL) = (i.completion = 'completed'))
    ORDER BY l.last_watched_at DESC, l.video_id DESC
    LIMIT i.max_rows) w;
