-- The schema this service owns. Safe to run again; Down needs `SET profile.allow_down = on`, which
-- `profilectl migrate down` sends, so that feeding this whole file to psql never destroys data.
-- +goose Up
-- +goose StatementBegin
CREATE SCHEMA IF NOT EXISTS profile;

-- Every rule about time reads this function (S93); tests replace it in their own database.
CREATE OR REPLACE FUNCTION profile.clock_now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT clock_timestamp()';

CREATE OR REPLACE FUNCTION profile.tg_set_updated_at() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := profile.clock_now();
    RETURN NEW;
END $$;

CREATE TABLE IF NOT EXISTS profile.users (
    user_id             uuid PRIMARY KEY,
    display_name        text        NOT NULL,
    avatar_url          text,
    learning_goal       text,
    daily_quota_minutes integer,
    extra               jsonb       NOT NULL DEFAULT '{}',
    profile_version     bigint      NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL DEFAULT profile.clock_now(),
    updated_at          timestamptz NOT NULL DEFAULT profile.clock_now(),
    CONSTRAINT users_display_name_check CHECK (char_length(display_name) <= 64),
    CONSTRAINT users_avatar_url_check CHECK (octet_length(avatar_url) BETWEEN 1 AND 2048),
    CONSTRAINT users_learning_goal_check CHECK (char_length(learning_goal) BETWEEN 1 AND 500),
    CONSTRAINT users_daily_quota_check CHECK (daily_quota_minutes BETWEEN 0 AND 1440),
    -- The rule is 16 KiB of JSON text (S7); jsonb prints with extra blanks, hence the slack.
    CONSTRAINT users_extra_check CHECK (jsonb_typeof(extra) = 'object' AND octet_length(extra::text) <= 32768),
    CONSTRAINT users_version_check CHECK (profile_version >= 1)
);

-- A like or a bookmark: a last-writer-wins register (S10). deleted_at NULL = ACTIVE.
CREATE TABLE IF NOT EXISTS profile.engagements (
    user_id         uuid        NOT NULL,
    video_id        uuid        NOT NULL,
    engagement_type text        NOT NULL,
    engaged_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    -- Effective time of the newest accepted command; older ones are stale (S11, S13).
    state_at        timestamptz NOT NULL,
    -- occurred_at of the newest event, so that the next one is greater (S17); NULL before the first.
    last_event_at   timestamptz,
    source          text        NOT NULL DEFAULT 'manual',
    created_at      timestamptz NOT NULL DEFAULT profile.clock_now(),
    updated_at      timestamptz NOT NULL DEFAULT profile.clock_now(),
    PRIMARY KEY (user_id, video_id, engagement_type),
    CONSTRAINT engagements_type_check CHECK (engagement_type IN ('like', 'bookmark')),
    CONSTRAINT engagements_state_check CHECK (state_at >= engaged_at OR deleted_at IS NOT NULL)
);
CREATE INDEX IF NOT EXISTS engagements_list_idx ON profile.engagements
    (user_id, engaged_at, video_id, engagement_type) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS engagements_list_by_type_idx ON profile.engagements
    (user_id, engagement_type, engaged_at, video_id) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS engagements_video_idx ON profile.engagements
    (video_id, user_id) WHERE deleted_at IS NULL;

-- One (user, video). Ratios are basis points, 10000 = all of it. qualified_at set = part of the history
-- and of video_stats (S36, S39).
CREATE TABLE IF NOT EXISTS profile.watch_logs (
    user_id               uuid        NOT NULL,
    video_id              uuid        NOT NULL,
    position_seconds      bigint      NOT NULL,
    ratio_bp              integer     NOT NULL,
    resume_at             timestamptz NOT NULL,
    max_ratio_bp          integer     NOT NULL,
    -- Greatest total the client reported, and what of it counted: one report adds at most a day (S34).
    reported_seconds      bigint      NOT NULL DEFAULT 0,
    counted_seconds       bigint      NOT NULL DEFAULT 0,
    qualified_at          timestamptz,
    completed_at          timestamptz,
    completed_count       integer     NOT NULL DEFAULT 0,
    -- The next crossing of the completion threshold counts (S38).
    completion_armed      boolean     NOT NULL DEFAULT true,
    last_emitted_ratio_bp integer,
    session_id            text,
    session_seq           bigint,
    first_watched_at      timestamptz NOT NULL,
    last_watched_at       timestamptz NOT NULL,
    expires_at            timestamptz NOT NULL,
    created_at            timestamptz NOT NULL DEFAULT profile.clock_now(),
    updated_at            timestamptz NOT NULL DEFAULT profile.clock_now(),
    PRIMARY KEY (user_id, video_id),
    CONSTRAINT watch_logs_position_check CHECK (position_seconds BETWEEN 0 AND 864000),
    CONSTRAINT watch_logs_ratio_check CHECK (ratio_bp BETWEEN 0 AND 10000 AND max_ratio_bp BETWEEN ratio_bp AND 10000),
    CONSTRAINT watch_logs_seconds_check CHECK (counted_seconds BETWEEN 0 AND reported_seconds AND reported_seconds <= 315360000),
    CONSTRAINT watch_logs_completed_check CHECK (completed_count >= 0 AND (completed_count > 0) = (completed_at IS NOT NULL)),
    CONSTRAINT watch_logs_emitted_check CHECK (last_emitted_ratio_bp BETWEEN 0 AND 10000),
    CONSTRAINT watch_logs_session_check CHECK (char_length(session_id) BETWEEN 1 AND 128 AND session_seq >= 0),
    CONSTRAINT watch_logs_time_check CHECK (first_watched_at <= last_watched_at)
);
CREATE INDEX IF NOT EXISTS watch_logs_list_idx ON profile.watch_logs
    (user_id, last_watched_at, video_id) WHERE qualified_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS watch_logs_expires_idx ON profile.watch_logs (expires_at);

-- Our copy of catalog videos. Each field carries the catalog version that set it, so that events give the
-- same row in any order (S72). version is the greatest one seen.
CREATE TABLE IF NOT EXISTS profile.videos_projection (
    video_id             uuid PRIMARY KEY,
    uploader_id          uuid,
    title                text,
    description          text,
    duration_micros      bigint,
    thumbnail_url        text,
    hls_master_playlist  text,
    status               text,
    visibility_status    text,
    published_at         timestamptz,
    version              bigint      NOT NULL,
    created_version      bigint      NOT NULL DEFAULT 0,
    deleted_version      bigint      NOT NULL DEFAULT 0,
    uploader_version     bigint      NOT NULL DEFAULT 0,
    title_version        bigint      NOT NULL DEFAULT 0,
    description_version  bigint      NOT NULL DEFAULT 0,
    duration_version     bigint      NOT NULL DEFAULT 0,
    thumbnail_version    bigint      NOT NULL DEFAULT 0,
    playlist_version     bigint      NOT NULL DEFAULT 0,
    status_version       bigint      NOT NULL DEFAULT 0,
    visibility_version   bigint      NOT NULL DEFAULT 0,
    published_version    bigint      NOT NULL DEFAULT 0,
    -- The one place that says what a caller may see of a video (S21). A video we only know from updates is
    -- not ready.
    availability         text        NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN deleted_version = version OR status IN ('deleted', 'archived', 'rejected', 'failed') THEN 'deleted'
            WHEN visibility_status NOT IN ('public', 'unlisted') THEN 'private'
            WHEN created_version = 0 OR status NOT IN ('ready', 'published') THEN 'not_ready'
            ELSE 'available'
        END) STORED,
    created_at           timestamptz NOT NULL DEFAULT profile.clock_now(),
    updated_at           timestamptz NOT NULL DEFAULT profile.clock_now(),
    CONSTRAINT videos_projection_version_check CHECK (version >= 1),
    CONSTRAINT videos_projection_duration_check CHECK (duration_micros >= 0)
);
CREATE INDEX IF NOT EXISTS videos_projection_updated_idx ON profile.videos_projection (updated_at);

-- Counters of one video. They always equal a recount of the rows above (S42).
CREATE TABLE IF NOT EXISTS profile.video_stats (
    video_id            uuid PRIMARY KEY,
    like_count          bigint      NOT NULL DEFAULT 0,
    bookmark_count      bigint      NOT NULL DEFAULT 0,
    unique_watchers     bigint      NOT NULL DEFAULT 0,
    total_watch_seconds bigint      NOT NULL DEFAULT 0,
    stats_version       bigint      NOT NULL DEFAULT 0,
    updated_at          timestamptz NOT NULL DEFAULT profile.clock_now(),
    CONSTRAINT video_stats_like_count_check CHECK (like_count >= 0),
    CONSTRAINT video_stats_bookmark_count_check CHECK (bookmark_count >= 0),
    CONSTRAINT video_stats_unique_watchers_check CHECK (unique_watchers >= 0),
    CONSTRAINT video_stats_total_watch_seconds_check CHECK (total_watch_seconds >= 0)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 100);

-- One row per user. Its lock orders everything a user does, and so their events (S17, S75).
CREATE TABLE IF NOT EXISTS profile.user_stats (
    user_id        uuid PRIMARY KEY,
    like_count     bigint      NOT NULL DEFAULT 0,
    bookmark_count bigint      NOT NULL DEFAULT 0,
    watched_count  bigint      NOT NULL DEFAULT 0,
    event_seq      bigint      NOT NULL DEFAULT 0,
    updated_at     timestamptz NOT NULL DEFAULT profile.clock_now(),
    CONSTRAINT user_stats_like_count_check CHECK (like_count >= 0),
    CONSTRAINT user_stats_bookmark_count_check CHECK (bookmark_count >= 0),
    CONSTRAINT user_stats_watched_count_check CHECK (watched_count >= 0),
    CONSTRAINT user_stats_event_seq_check CHECK (event_seq >= 0)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 100);

-- The immutable event log: a ring of eight day partitions, so that retention is a TRUNCATE and a missing
-- partition can never fail a business write.
CREATE TABLE IF NOT EXISTS profile.outbox_events (
    slot           smallint    NOT NULL DEFAULT (floor(extract(epoch FROM profile.clock_now()) / 86400)::bigint % 8)::smallint,
    id             bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1),
    event_id       uuid        NOT NULL,
    aggregate_type text        NOT NULL,
    aggregate_id   uuid        NOT NULL,
    event_type     text        NOT NULL,
    ordering_key   uuid        NOT NULL,
    -- Dense per ordering_key: 1, 2, 3, …
    version        bigint      NOT NULL,
    payload        bytea       NOT NULL,
    headers        jsonb       NOT NULL DEFAULT '{}',
    occurred_at    timestamptz NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT profile.clock_now(),
    PRIMARY KEY (slot, id),
    UNIQUE (slot, ordering_key, version),
    CONSTRAINT outbox_events_version_check CHECK (version >= 1)
) PARTITION BY LIST (slot);
CREATE TABLE IF NOT EXISTS profile.outbox_events_0 PARTITION OF profile.outbox_events FOR VALUES IN (0);
CREATE TABLE IF NOT EXISTS profile.outbox_events_1 PARTITION OF profile.outbox_events FOR VALUES IN (1);
CREATE TABLE IF NOT EXISTS profile.outbox_events_2 PARTITION OF profile.outbox_events FOR VALUES IN (2);
CREATE TABLE IF NOT EXISTS profile.outbox_events_3 PARTITION OF profile.outbox_events FOR VALUES IN (3);
CREATE TABLE IF NOT EXISTS profile.outbox_events_4 PARTITION OF profile.outbox_events FOR VALUES IN (4);
CREATE TABLE IF NOT EXISTS profile.outbox_events_5 PARTITION OF profile.outbox_events FOR VALUES IN (5);
CREATE TABLE IF NOT EXISTS profile.outbox_events_6 PARTITION OF profile.outbox_events FOR VALUES IN (6);
CREATE TABLE IF NOT EXISTS profile.outbox_events_7 PARTITION OF profile.outbox_events FOR VALUES IN (7);

-- The queue: what the broker has not acknowledged yet. Rows are deleted once it has.
CREATE TABLE IF NOT EXISTS profile.outbox_deliveries (
    id                bigint PRIMARY KEY,
    slot              smallint    NOT NULL,
    lane              smallint    NOT NULL,
    ordering_key      uuid        NOT NULL,
    available_at      timestamptz NOT NULL DEFAULT profile.clock_now(),
    delivery_attempts integer     NOT NULL DEFAULT 0,
    last_error        text,
    dead_at           timestamptz,
    CONSTRAINT outbox_deliveries_lane_check CHECK (lane BETWEEN 0 AND 15),
    CONSTRAINT outbox_deliveries_attempts_check CHECK (delivery_attempts >= 0)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX IF NOT EXISTS outbox_deliveries_lane_idx ON profile.outbox_deliveries (lane, id);

-- Who publishes which lane, and until when (database time).
CREATE TABLE IF NOT EXISTS profile.outbox_lanes (
    lane        smallint PRIMARY KEY,
    owner       text,
    epoch       bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    CONSTRAINT outbox_lanes_lane_check CHECK (lane BETWEEN 0 AND 15)
);
INSERT INTO profile.outbox_lanes (lane) SELECT generate_series(0, 15) ON CONFLICT DO NOTHING;

-- For operators: the log joined with the queue under the names of the outbox template, except that published is
-- a boolean instead of published_at (rows leave the queue when they are published). locked_at is the end of the
-- lane's lease, and available_at is informational.
CREATE OR REPLACE VIEW profile.outbox_status WITH (security_invoker = true) AS
SELECT e.id, e.event_id, e.aggregate_type, e.aggregate_id, e.event_type, e.ordering_key, e.version,
       e.payload, e.headers, e.occurred_at, e.created_at, d.available_at,
       coalesce(d.delivery_attempts, 0) AS delivery_attempts, d.last_error,
       l.lease_until AS locked_at, l.owner AS lock_token, d.dead_at, d.id IS NULL AS published
FROM profile.outbox_events e
LEFT JOIN profile.outbox_deliveries d ON d.id = e.id
LEFT JOIN profile.outbox_lanes l ON l.lane = d.lane;

CREATE TABLE IF NOT EXISTS profile.inbox_events (
    event_id       uuid PRIMARY KEY,
    source_service text        NOT NULL,
    event_type     text        NOT NULL,
    aggregate_type text,
    aggregate_id   text,
    -- Kept for failures only.
    payload        bytea,
    received_at    timestamptz NOT NULL DEFAULT profile.clock_now(),
    processed_at   timestamptz,
    last_error     text
);
CREATE INDEX IF NOT EXISTS inbox_events_received_idx ON profile.inbox_events (received_at);
CREATE INDEX IF NOT EXISTS inbox_events_failed_idx ON profile.inbox_events (received_at) WHERE processed_at IS NULL;

-- Answers of successful calls, written in the business transaction (S85).
CREATE TABLE IF NOT EXISTS profile.idempotency_keys (
    user_id         uuid        NOT NULL,
    action          text        NOT NULL,
    resource_id     uuid        NOT NULL,
    idempotency_key text        NOT NULL,
    fingerprint     bytea       NOT NULL,
    response        jsonb       NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT profile.clock_now(),
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (user_id, action, resource_id, idempotency_key),
    CONSTRAINT idempotency_keys_key_check CHECK (char_length(idempotency_key) BETWEEN 1 AND 128),
    CONSTRAINT idempotency_keys_fingerprint_check CHECK (octet_length(fingerprint) = 32)
);
CREATE INDEX IF NOT EXISTS idempotency_keys_expires_idx ON profile.idempotency_keys (expires_at);

CREATE OR REPLACE TRIGGER users_set_updated_at BEFORE UPDATE ON profile.users
    FOR EACH ROW EXECUTE FUNCTION profile.tg_set_updated_at();
-- A no-op that only advances state_at is no update a reader should see (S13).
CREATE OR REPLACE TRIGGER engagements_set_updated_at BEFORE UPDATE ON profile.engagements
    FOR EACH ROW WHEN ((OLD.engaged_at, OLD.deleted_at) IS DISTINCT FROM (NEW.engaged_at, NEW.deleted_at))
    EXECUTE FUNCTION profile.tg_set_updated_at();
CREATE OR REPLACE TRIGGER watch_logs_set_updated_at BEFORE UPDATE ON profile.watch_logs
    FOR EACH ROW EXECUTE FUNCTION profile.tg_set_updated_at();
CREATE OR REPLACE TRIGGER videos_projection_set_updated_at BEFORE UPDATE ON profile.videos_projection
    FOR EACH ROW EXECUTE FUNCTION profile.tg_set_updated_at();
CREATE OR REPLACE TRIGGER video_stats_set_updated_at BEFORE UPDATE ON profile.video_stats
    FOR EACH ROW EXECUTE FUNCTION profile.tg_set_updated_at();
CREATE OR REPLACE TRIGGER user_stats_set_updated_at BEFORE UPDATE ON profile.user_stats
    FOR EACH ROW EXECUTE FUNCTION profile.tg_set_updated_at();
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('profile.allow_down', true) = 'on' THEN
        DROP SCHEMA IF EXISTS profile CASCADE;
    END IF;
END $$;
-- +goose StatementEnd
