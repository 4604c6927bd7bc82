-- The numbers of playback sessions that are not a row's newest (S31), and what a row needs to wait for the length of its
-- video (S36). Nothing here rewrites or scans a table. Safe to run again.
-- +goose Up
-- +goose StatementBegin
CREATE TABLE IF NOT EXISTS profile.watch_sessions (
    user_id    uuid        NOT NULL,
    video_id   uuid        NOT NULL,
    session_id text        NOT NULL,
    -- The greatest number seen.
    seq        bigint      NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT profile.clock_now(),
    PRIMARY KEY (user_id, video_id, session_id),
    CONSTRAINT watch_sessions_session_check CHECK (char_length(session_id) BETWEEN 1 AND 128 AND seq > 0)
);
CREATE INDEX IF NOT EXISTS watch_sessions_touched_idx ON profile.watch_sessions (touched_at);

-- When ratio_bp was true; NULL in rows of before: at resume_at. The zero time: never, no report told a ratio yet.
ALTER TABLE profile.watch_logs ADD COLUMN IF NOT EXISTS ratio_at timestamptz;
-- The greatest position whose ratio is not known.
ALTER TABLE profile.watch_logs ADD COLUMN IF NOT EXISTS furthest_seconds bigint NOT NULL DEFAULT 0;

DO $$
BEGIN
    DROP POLICY IF EXISTS own_rows ON profile.watch_sessions;
    CREATE POLICY own_rows ON profile.watch_sessions USING (profile.may_see(user_id));
    IF EXISTS (SELECT FROM pg_class WHERE oid = 'profile.watch_logs'::regclass AND relrowsecurity) THEN
        ALTER TABLE profile.watch_sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'profile_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON profile.watch_sessions TO profile_app;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('profile.allow_down', true) = 'on' THEN
        DROP TABLE IF EXISTS profile.watch_sessions;
        ALTER TABLE profile.watch_logs DROP COLUMN IF EXISTS ratio_at, DROP COLUMN IF EXISTS furthest_seconds;
    END IF;
END $$;
-- +goose StatementEnd
