-- How a publisher finds what committed late, and operators the dead letters. Safe to run again: what an
-- interrupted run left is an index that is kept up to date and never used.
-- +goose NO TRANSACTION
-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS profile.outbox_deliveries_writer_idx;
CREATE INDEX CONCURRENTLY outbox_deliveries_writer_idx ON profile.outbox_deliveries (writer);

DROP INDEX CONCURRENTLY IF EXISTS profile.outbox_deliveries_dead_idx;
CREATE INDEX CONCURRENTLY outbox_deliveries_dead_idx ON profile.outbox_deliveries (dead_at, id)
    WHERE dead_at IS NOT NULL;

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('profile.allow_down', true) = 'on' THEN
        DROP INDEX IF EXISTS profile.outbox_deliveries_writer_idx, profile.outbox_deliveries_dead_idx;
    END IF;
END $$;
-- +goose StatementEnd
