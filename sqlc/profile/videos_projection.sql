-- name: BatchGetVideos :many
SELECT * FROM profile.videos_projection WHERE video_id = ANY (@video_ids::uuid[]);

-- What a progress report must know of each of distinct videos, known or not: duration 0 is unknown; counted: it has counters.
-- name: GetVideoFacts :many
SELECT i.video_id::uuid AS video_id, coalesce(v.availability, 'unknown')::text AS availability,
       coalesce(v.duration_micros, 0)::bigint AS duration_micros,
       coalesce(s.counted, false)::bool AS counted
FROM (SELECT unnest(@video_ids::uuid[]) AS video_id) i
LEFT JOIN LATERAL (
    SELECT p.availability, p.duration_micros FROM profile.videos_projection p WHERE p.video_id = i.video_id LIMIT 1) v ON true
LEFT JOIN LATERAL (SELECT true AS counted FROM profile.video_stats t WHERE t.video_id = i.video_id LIMIT 1) s ON true;

-- Folds one change per video into the projection; a field moves only to a greater catalog version, so the
-- order and repetition of changes cannot matter. A field version of 0 says "not in this change"; the zero
-- time, -1, the nil UUID and the empty
-- text clear a field. Returns the videos whose row changed.
-- name: ApplyVideoChanges :many
INSERT INTO profile.videos_projection AS p
    (video_id, version, created_version, deleted_version,
     uploader_id, uploader_version, title, title_version, description, description_version,
     duration_micros, duration_version, thumbnail_url, thumbnail_version, hls_master_playlist, playlist_version,
     status, status_version, visibility_status, visibility_version, published_at, published_version)
SELECT unnest(@video_ids::uuid[]) AS video_id, unnest(@versions::bigint[]), unnest(@created_versions::bigint[]), unnest(@deleted_versions::bigint[]),
       nullif(unnest(@uploader_ids::uuid[]), '00000000-0000-0000-0000-000000000000'), unnest(@uploader_versions::bigint[]),
       nullif(unnest(@titles::text[]), ''), unnest(@title_versions::bigint[]),
       nullif(unnest(@descriptions::text[]), ''), unnest(@description_versions::bigint[]),
       nullif(unnest(@duration_micros::bigint[]), -1), unnest(@duration_versions::bigint[]),
       nullif(unnest(@thumbnail_urls::text[]), ''), unnest(@thumbnail_versions::bigint[]),
       nullif(unnest(@hls_master_playlists::text[]), ''), unnest(@playlist_versions::bigint[]),
       nullif(unnest(@statuses::text[]), ''), unnest(@status_versions::bigint[]),
       nullif(unnest(@visibility_statuses::text[]), ''), unnest(@visibility_versions::bigint[]),
       nullif(unnest(@published_ats::timestamptz[]), '0001-01-01 00:00:00+00'), unnest(@published_versions::bigint[])
ORDER BY 1
ON CONFLICT (video_id) DO UPDATE
SET version             = greatest(p.version, excluded.version),
    created_version     = greatest(p.created_version, excluded.created_version),
    deleted_version     = greatest(p.deleted_version, excluded.deleted_version),
    uploader_id         = CASE WHEN excluded.uploader_version > p.uploader_version THEN excluded.uploader_id ELSE p.uploader_id END,
    uploader_version    = greatest(p.uploader_version, excluded.uploader_version),
    title               = CASE WHEN excluded.title_version > p.title_version THEN excluded.title ELSE p.title END,
    title_version       = greatest(p.title_version, excluded.title_version),
    description         = CASE WHEN excluded.description_version > p.description_version THEN excluded.description ELSE p.description END,
    description_version = greatest(p.description_version, excluded.description_version),
    duration_micros     = CASE WHEN excluded.duration_version > p.duration_version THEN excluded.duration_micros ELSE p.duration_micros END,
    duration_version    = greatest(p.duration_version, excluded.duration_version),
    thumbnail_url       = CASE WHEN excluded.thumbnail_version > p.thumbnail_version THEN excluded.thumbnail_url ELSE p.thumbnail_url END,
    thumbnail_version   = greatest(p.thumbnail_version, excluded.thumbnail_version),
    hls_master_playlist = CASE WHEN excluded.playlist_version > p.playlist_version THEN excluded.hls_master_playlist ELSE p.hls_master_playlist END,
    playlist_version    = greatest(p.playlist_version, excluded.playlist_version),
    status              = CASE WHEN excluded.status_version > p.status_version THEN excluded.status ELSE p.status END,
    status_version      = greatest(p.status_version, excluded.status_version),
    visibility_status   = CASE WHEN excluded.visibility_version > p.visibility_version THEN excluded.visibility_status ELSE p.visibility_status END,
    visibility_version  = greatest(p.visibility_version, excluded.visibility_version),
    published_at        = CASE WHEN excluded.published_version > p.published_version THEN excluded.published_at ELSE p.published_at END,
    published_version   = greatest(p.published_version, excluded.published_version)
WHERE excluded.version > p.version
   OR excluded.created_version > p.created_version
   OR excluded.deleted_version > p.deleted_version
   OR excluded.uploader_version > p.uploader_version
   OR excluded.title_version > p.title_version
   OR excluded.description_version > p.description_version
   OR excluded.duration_version > p.duration_version
   OR excluded.thumbnail_version > p.thumbnail_version
   OR excluded.playlist_version > p.playlist_version
   OR excluded.status_version > p.status_version
   OR excluded.visibility_version > p.visibility_version
   OR excluded.published_version > p.published_version
RETURNING video_id;
