-- How a publisher finds what committed late, and operators the dead letters. Safe to run again.
-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS outbox_deliveries_writer_idx ON profile.outbox_deliveries (writer);

CREATE INDEX CONCURRENTLY IF NOT EXISTS outbox_deliveries_dead_idx ON profile.outbox_deliveries (dead_at, id)
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
