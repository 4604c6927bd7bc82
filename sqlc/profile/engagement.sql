-- Decides and applies commands of distinct registers, under the lock of their users (S10-S17). One row per command:
-- changed is the state transition and the only source of counters and events; stored says that a row was written, be it
-- for its time only (S13). A command that would change something is
-- refused when the kind is full (S19) or the video is not to be had (S22, S23); one that changes nothing never is. The
-- rest is the state of the pair after the command, so that nobody has to read it again, and whether the video has
-- counters; the zero time stands for none. Each row is found by its whole primary key and nothing else, so that there is one way to find it.
-- name: SetFavorites :many
WITH input AS (
    SELECT unnest(@ordinals::int[])         AS ordinal,
           unnest(@user_ids::uuid[])        AS user_id,
           unnest(@video_ids::uuid[])       AS video_id,
           unnest(@types::text[])           AS engagement_type,
           unnest(@active::bool[])          AS active,
           unnest(@effective::timestamptz[]) AS effective,
           unnest(@live::bool[])            AS live,
           unnest(@at_limit::bool[])            AS at_limit),
found AS (
    SELECT i.ordinal, i.user_id, i.video_id, i.engagement_type, i.active, i.at_limit, i.live, a.at,
           e.state_at, e.engaged_at, e.last_event_at,
           e.state_at IS NOT NULL AND e.deleted_at IS NULL AS was_active,
           o.other_at, s.counted,
           coalesce(v.availability, 'unknown') AS availability,
           coalesce(v.uploader_id = i.user_id, false) AS own
    FROM input i
    LEFT JOIN LATERAL (
        SELECT r.state_at, r.engaged_at, r.deleted_at, r.last_event_at
        FROM profile.engagements r
        WHERE r.user_id = i.user_id AND r.video_id = i.video_id AND r.engagement_type = i.engagement_type
        LIMIT 1) e ON true
    LEFT JOIN LATERAL (
        SELECT CASE WHEN r.deleted_at IS NULL THEN r.engaged_at END AS other_at
        FROM profile.engagements r
        WHERE r.user_id = i.user_id AND r.video_id = i.video_id
          AND r.engagement_type = CASE i.engagement_type WHEN 'like' THEN 'bookmark' ELSE 'like' END
        LIMIT 1) o ON true
    LEFT JOIN LATERAL (
        SELECT p.availability, p.uploader_id FROM profile.videos_projection p WHERE p.video_id = i.video_id LIMIT 1) v ON true
    LEFT JOIN LATERAL (
        SELECT true AS counted FROM profile.video_stats t WHERE t.video_id = i.video_id LIMIT 1) s ON true
    CROSS JOIN LATERAL (
        SELECT CASE WHEN i.live THEN greatest(i.effective, e.state_at + interval '1 microsecond') ELSE i.effective END AS at) a),
decided AS MATERIALIZED (
    SELECT f.*, d.fresh, d.differs,
           d.fresh AND d.differs AND f.active AS adds,
           f.availability = ANY (CASE WHEN f.own THEN @refused_own::text[] ELSE @refused::text[] END) AS refused,
           f.active OR f.state_at IS NOT NULL OR NOT f.live AS kept,
           greatest(f.at, f.last_event_at + interval '1 microsecond') AS event_at
    FROM found f
    -- Of two of one time a removal wins, whichever came first (S11).
    CROSS JOIN LATERAL (SELECT f.state_at IS NULL OR f.at > f.state_at OR (f.at = f.state_at AND (f.was_active OR NOT f.active)) AS fresh,
                               f.active <> f.was_active AS differs) d),
written AS (
    INSERT INTO profile.engagements AS e
        (user_id, video_id, engagement_type, engaged_at, deleted_at, state_at, last_event_at, created_at, updated_at)
    SELECT user_id, video_id, engagement_type, at, CASE WHEN NOT active THEN at END, at,
           CASE WHEN differs THEN event_at END, n.now, n.now
    FROM decided, (SELECT profile.clock_now() AS now) n
    WHERE fresh AND kept AND NOT (adds AND (refused OR at_limit))
    ON CONFLICT (user_id, video_id, engagement_type) DO UPDATE
    SET engaged_at    = CASE WHEN excluded.deleted_at IS NULL AND e.deleted_at IS NOT NULL
                             THEN excluded.engaged_at ELSE e.engaged_at END,
        deleted_at    = CASE WHEN excluded.deleted_at IS NOT NULL
                             THEN coalesce(e.deleted_at, excluded.deleted_at) END,
        state_at      = excluded.state_at,
        last_event_at = coalesce(excluded.last_event_at, e.last_event_at),
        -- A command that only advances state_at is no update a reader should see (S13).
        updated_at    = CASE WHEN (excluded.deleted_at IS NULL) <> (e.deleted_at IS NULL)
                             THEN excluded.updated_at ELSE e.updated_at END)
SELECT d.ordinal::int                                    AS ordinal,
       (d.differs AND d.fresh AND d.kept
        AND NOT (d.adds AND (d.refused OR d.at_limit)))::bool AS changed,
       (d.fresh AND d.kept
        AND NOT (d.adds AND (d.refused OR d.at_limit)))::bool AS stored,
       (NOT d.fresh)::bool                               AS stale,
       (d.adds AND d.refused)::bool                      AS unavailable,
       (d.adds AND d.at_limit AND NOT d.refused)::bool AS over_limit,
       d.at::timestamptz                                 AS effective_at,
       d.event_at::timestamptz                           AS event_at,
       CASE WHEN d.was_active THEN d.engaged_at ELSE '0001-01-01 00:00:00+00' END::timestamptz AS engaged_at,
       coalesce(d.other_at, '0001-01-01 00:00:00+00')::timestamptz            AS other_at,
       coalesce(d.counted, false)::bool                  AS counted
FROM decided d;

-- The likes and bookmarks a user has or had of videos, in no particular order (S18). Nothing is asked of
-- deleted_at that would let an index of lists, which knows only the user, answer.
-- name: GetFavorites :many
SELECT e.video_id, e.engagement_type, e.engaged_at, (e.deleted_at IS NULL)::bool AS active
FROM profile.engagements e
WHERE e.user_id = @user_id AND e.video_id = ANY (@video_ids::uuid[]) AND e.engagement_type = ANY (ARRAY['bookmark', 'like']);

-- Active rows of lists of one kind, each below its key, newest first within a list. Nothing is asked of their videos. A
-- list is one value: video_id, engaged_at and updated_at of each row, packed.
-- name: ListFavorites :many
SELECT i.ordinal::int AS ordinal, coalesce(e.packed, '')::bytea AS packed
FROM (SELECT unnest(@ordinals::int[])           AS ordinal,
             unnest(@user_ids::uuid[])          AS user_id,
             unnest(@types::text[])             AS engagement_type,
             unnest(@before_ats::timestamptz[]) AS before_at,
             unnest(@before_videos::uuid[])     AS before_video_id,
             unnest(@max_rows::int[])           AS max_rows) i
CROSS JOIN LATERAL (
    SELECT string_agg(uuid_send(l.video_id) || timestamptz_send(l.engaged_at) || timestamptz_send(l.updated_at), '') AS packed
    FROM (SELECT r.video_id, r.engaged_at, r.updated_at
          FROM profile.engagements r
          WHERE r.user_id = i.user_id
            AND r.engagement_type = i.engagement_type
            AND r.deleted_at IS NULL
            AND (r.engaged_at, r.video_id) < (i.before_at, i.before_video_id)
          ORDER BY r.engaged_at DESC, r.video_id DESC
          LIMIT i.max_rows) l) e;

-- Rows that all pages of a list show. An empty type counts both kinds.
-- name: CountFavorites :one
SELECT count(*)
FROM profile.engagements e
LEFT JOIN LATERAL (SELECT * FROM profile.videos_projection p WHERE p.video_id = e.video_id LIMIT 1) v ON true
WHERE e.user_id = @user_id
  AND (@engagement_type::text = '' OR e.engagement_type = @engagement_type)
  AND e.deleted_at IS NULL
  AND (v.video_id IS NULL OR v.availability = 'available' OR @include_unavailable::bool
       OR (v.availability IN ('private', 'not_ready') AND v.uploader_id = @user_id));
