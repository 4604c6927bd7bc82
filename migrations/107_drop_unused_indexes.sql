-- Indexes of engagements that every like pays for: nothing reads by video, and a list of both kinds is read from the
-- index of each. CONCURRENTLY, because the table is big (S95). Safe to run again.
-- +goose NO TRANSACTION
-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS profile.engagements_video_idx;
DROP INDEX CONCURRENTLY IF EXISTS profile.engagements_list_idx;

-- +goose Down
-- They do not come back: building them would lock the table, and the release before works without them.
SELECT 1;
