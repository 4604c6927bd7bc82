-- Decides and applies commands of distinct registers, under the lock of their users (S10-S17). One row
-- per command: changed is the state transition and the only source of counters and events.
-- name: SetFavorites :many
WITH input AS (
    SELECT unnest(@ordinals::int[])         AS ordinal,
           unnest(@user_ids::uuid[])        AS user_id,
           unnest(@video_ids::uuid[])       AS video_id,
           unnest(@types::text[])           AS engagement_type,
           unnest(@active::bool[])          AS active,
           unnest(@effective::timestamptz[]) AS effective,
           unnest(@live::bool[])            AS live),
decided AS (
    SELECT i.ordinal, i.user_id, i.video_id, i.engagement_type, i.active,
           a.at,
           e.state_at IS NULL OR a.at >= e.state_at AS fresh,
           i.active OR e.state_at IS NOT NULL OR NOT i.live AS kept,
           i.active <> (e.state_at IS NOT NULL AND e.deleted_at IS NULL) AS differs,
           greatest(a.at, e.last_event_at + interval '1 microsecond') AS event_at
    FROM input i
    LEFT JOIN profile.engagements e USING (user_id, video_id, engagement_type)
    CROSS JOIN LATERAL (SELECT CASE WHEN i.live THEN greatest(i.effective, e.state_at + interval '1 microsecond')
                                    ELSE i.effective END AS at) a),
written AS (
    INSERT INTO profile.engagements AS e
        (user_id, video_id, engagement_type, engaged_at, deleted_at, state_at, last_event_at)
    SELECT user_id, video_id, engagement_type, at, CASE WHEN NOT active THEN at END, at,
           CASE WHEN differs THEN event_at END
    FROM decided
    WHERE fresh AND kept
    ORDER BY user_id, video_id, engagement_type
    ON CONFLICT (user_id, video_id, engagement_type) DO UPDATE
    SET engaged_at    = CASE WHEN excluded.deleted_at IS NULL AND e.deleted_at IS NOT NULL
                             THEN excluded.engaged_at ELSE e.engaged_at END,
        deleted_at    = CASE WHEN excluded.deleted_at IS NOT NULL
                             THEN coalesce(e.deleted_at, excluded.deleted_at) END,
        state_at      = excluded.state_at,
        last_event_at = coalesce(excluded.last_event_at, e.last_event_at)
    RETURNING e.user_id, e.video_id, e.engagement_type)
SELECT d.ordinal::int                                       AS ordinal,
       (d.differs AND w.user_id IS NOT NULL)::bool          AS changed,
       (NOT d.fresh)::bool                                  AS stale,
       d.at::timestamptz                                    AS effective_at,
       d.event_at::timestamptz                              AS event_at,
       coalesce(v.availability, 'unknown')::text            AS availability,
       v.uploader_id                                        AS uploader_id
FROM decided d
LEFT JOIN written w USING (user_id, video_id, engagement_type)
LEFT JOIN profile.videos_projection v USING (video_id)
ORDER BY d.ordinal;

-- State and counters of distinct videos for one user, in no particular order (S18).
-- name: BatchGetFavorites :many
SELECT i.video_id::uuid  AS video_id,
       l.engaged_at      AS liked_at,
       b.engaged_at      AS bookmarked_at,
       s.like_count, s.bookmark_count, s.unique_watchers, s.total_watch_seconds, s.stats_version,
       s.updated_at      AS stats_updated_at
FROM (SELECT unnest(@video_ids::uuid[]) AS video_id) i
LEFT JOIN profile.engagements l
    ON l.user_id = @user_id AND l.video_id = i.video_id AND l.engagement_type = 'like' AND l.deleted_at IS NULL
LEFT JOIN profile.engagements b
    ON b.user_id = @user_id AND b.video_id = i.video_id AND b.engagement_type = 'bookmark' AND b.deleted_at IS NULL
LEFT JOIN profile.video_stats s ON s.video_id = i.video_id;

-- One page below a key. Video columns are NULL where the projection has no row.
-- name: ListFavorites :many
SELECT e.video_id, e.engagement_type, e.engaged_at, e.updated_at,
       coalesce(v.availability, 'unknown')::text AS availability,
       v.uploader_id, v.title, v.description, v.duration_micros, v.thumbnail_url, v.hls_master_playlist,
       v.status, v.visibility_status, v.published_at, v.version, v.updated_at AS video_updated_at,
       s.like_count, s.bookmark_count, s.unique_watchers, s.total_watch_seconds, s.stats_version,
       s.updated_at AS stats_updated_at
FROM profile.engagements e
LEFT JOIN profile.videos_projection v ON v.video_id = e.video_id
LEFT JOIN profile.video_stats s ON s.video_id = e.video_id
WHERE e.user_id = @user_id
  AND e.deleted_at IS NULL
  AND (e.engaged_at, e.video_id, e.engagement_type) < (@before_at::timestamptz, @before_video_id::uuid, @before_type::text)
  AND (v.video_id IS NULL OR v.availability = 'available' OR @include_unavailable::bool
       OR (v.availability IN ('private', 'not_ready') AND v.uploader_id = @user_id))
ORDER BY e.engaged_at DESC, e.video_id DESC, e.engagement_type DESC
LIMIT @page_size::int;

-- As ListFavorites, of one type.
-- name: ListFavoritesByType :many
SELECT e.video_id, e.engagement_type, e.engaged_at, e.updated_at,
       coalesce(v.availability, 'unknown')::text AS availability,
       v.uploader_id, v.title, v.description, v.duration_micros, v.thumbnail_url, v.hls_master_playlist,
       v.status, v.visibility_status, v.published_at, v.version, v.updated_at AS video_updated_at,
       s.like_count, s.bookmark_count, s.unique_watchers, s.total_watch_seconds, s.stats_version,
       s.updated_at AS stats_updated_at
FROM profile.engagements e
LEFT JOIN profile.videos_projection v ON v.video_id = e.video_id
LEFT JOIN profile.video_stats s ON s.video_id = e.video_id
WHERE e.user_id = @user_id
  AND e.engagement_type = @engagement_type
  AND e.deleted_at IS NULL
  AND (e.engaged_at, e.video_id) < (@before_at::timestamptz, @before_video_id::uuid)
  AND (v.video_id IS NULL OR v.availability = 'available' OR @include_unavailable::bool
       OR (v.availability IN ('private', 'not_ready') AND v.uploader_id = @user_id))
ORDER BY e.engaged_at DESC, e.video_id DESC
LIMIT @page_size::int;

-- Rows the two lists above would show in all their pages. An empty type counts both.
-- name: CountFavorites :one
SELECT count(*)
FROM profile.engagements e
LEFT JOIN profile.videos_projection v ON v.video_id = e.video_id
WHERE e.user_id = @user_id
  AND (@engagement_type::text = '' OR e.engagement_type = @engagement_type)
  AND e.deleted_at IS NULL
  AND (v.video_id IS NULL OR v.availability = 'available' OR @include_unavailable::bool
       OR (v.availability IN ('private', 'not_ready') AND v.uploader_id = @user_id));
