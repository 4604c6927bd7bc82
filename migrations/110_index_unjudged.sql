-- How rows that wait for the length of their video are found (S36). CONCURRENTLY, because the table is big (S95). Safe
-- to run again: what an interrupted run left is an index that is kept up to date and never used.
-- +goose NO TRANSACTION
-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS profile.watch_logs_unjudged_idx;
CREATE INDEX CONCURRENTLY watch_logs_unjudged_idx ON profile.watch_logs (video_id, user_id) WHERE furthest_seconds > 0;

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('profile.allow_down', true) = 'on' THEN
        DROP INDEX IF EXISTS profile.watch_logs_unjudged_idx;
    END IF;
END $$;
-- +goose StatementEnd
