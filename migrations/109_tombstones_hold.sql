-- A deleted video stays deleted until the catalog creates it again or gives it a status: a late thumbnail does not
-- bring it back (S72). Status and visibility compare without case (S73). A trigger says so instead of a generated
-- column, which could only be changed by rewriting the table under a lock (S95). Safe to run again.
-- +goose NO TRANSACTION
-- +goose Up
-- +goose StatementBegin
-- The one place that says what a caller may see of a video (S21): what the catalog may invent later is hidden. A
-- video we only know from updates is not ready.
CREATE OR REPLACE FUNCTION profile.availability_of(v profile.videos_projection) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE
    WHEN v.deleted_version > 0 AND v.deleted_version >= greatest(v.created_version, v.status_version)
        OR lower(v.status COLLATE "C") IN ('deleted', 'archived', 'rejected', 'failed') THEN 'deleted'
    WHEN lower(v.visibility_status COLLATE "C") NOT IN ('public', 'unlisted') THEN 'private'
    WHEN v.created_version = 0 OR lower(v.status COLLATE "C") NOT IN ('ready', 'published') THEN 'not_ready'
    ELSE 'available'
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION profile.tg_set_availability() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.availability := profile.availability_of(NEW);
    RETURN NEW;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
DO $$
BEGIN
    ALTER TABLE profile.videos_projection ALTER COLUMN availability DROP EXPRESSION IF EXISTS;
    CREATE OR REPLACE TRIGGER videos_projection_set_availability BEFORE INSERT OR UPDATE ON profile.videos_projection
        FOR EACH ROW EXECUTE FUNCTION profile.tg_set_availability();
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'profile_app') THEN
        GRANT EXECUTE ON FUNCTION profile.availability_of(profile.videos_projection), profile.tg_set_availability() TO profile_app;
    END IF;
END $$;
-- +goose StatementEnd
UPDATE profile.videos_projection v SET version = version WHERE availability <> profile.availability_of(v);

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('profile.allow_down', true) = 'on' THEN
        DROP TRIGGER IF EXISTS videos_projection_set_availability ON profile.videos_projection;
        DROP FUNCTION IF EXISTS profile.tg_set_availability();
        DROP FUNCTION IF EXISTS profile.availability_of(profile.videos_projection);
        ALTER TABLE profile.videos_projection DROP COLUMN availability, ADD COLUMN availability text NOT NULL GENERATED ALWAYS AS (
            CASE
                WHEN deleted_version = version OR status IN ('deleted', 'archived', 'rejected', 'failed') THEN 'deleted'
                WHEN visibility_status NOT IN ('public', 'unlisted') THEN 'private'
                WHEN created_version = 0 OR status NOT IN ('ready', 'published') THEN 'not_ready'
                ELSE 'available'
            END) STORED;
    END IF;
END $$;
-- +goose StatementEnd
